package backup

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	backupapi "github.com/nova/novawire/api/backup"
)

// Metrics exports what is known about backups. It is what the annotations say,
// so a manager that starts anew goes on where the one before it ended.
type Metrics struct {
	mu       sync.Mutex
	statuses map[types.NamespacedName]backupapi.Status
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{statuses: map[types.NamespacedName]backupapi.Status{}}
	registry.MustRegister(m)
	return m
}

func (m *Metrics) set(name types.NamespacedName, s backupapi.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.statuses[name] = s
}

func (m *Metrics) of(name types.NamespacedName) (backupapi.Status, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.statuses[name]
	return s, ok
}

func (m *Metrics) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.statuses, name)
}

// Reset forgets all: another replica leads.
func (m *Metrics) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.statuses)
}

var (
	ofDatabase    = []string{"namespace", "statefulset", "database"}
	ofStatefulSet = []string{"namespace", "statefulset"}

	lastSuccess = gauge("last_success_timestamp_seconds", "When the newest committed backup's snapshot was taken.", ofDatabase...)
	lastVerify  = gauge("last_verified_timestamp_seconds", "When the snapshot of the newest backup was taken that a drill restored.", ofDatabase...)
	size        = gauge("size_bytes", "Size of the newest backup as PostgreSQL dumped it.", ofDatabase...)
	stored      = gauge("stored_bytes", "Size of the newest backup as S3 keeps it.", ofDatabase...)
	duration    = gauge("duration_seconds", "How long the newest backup took.", ofDatabase...)
	drillTime   = gauge("drill_duration_seconds", "How long the newest restore drill took.", ofDatabase...)
	anomalies   = gauge("anomalies", "Tables that vanished or lost nine tenths of their rows since the backup before.", ofDatabase...)
	failures    = gauge("failures_total", "Runs, drills and restores that failed.", append(ofStatefulSet, "category")...)
	info        = gauge("info", "1 for each StatefulSet that is or was backed up; suspended says whether no run starts by itself.", append(ofStatefulSet, "suspended")...)
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("novawire_backup_"+name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lastSuccess, lastVerify, size, stored, duration, drillTime, anomalies, failures, info} {
		descriptions <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, s := range m.statuses {
		suspended := "false"
		if s.Suspended != "" {
			suspended = "true"
		}
		out <- prometheus.MustNewConstMetric(info, prometheus.GaugeValue, 1, name.Namespace, name.Name, suspended)
		for category, n := range s.Failures {
			out <- prometheus.MustNewConstMetric(failures, prometheus.CounterValue, float64(n), name.Namespace, name.Name, string(category))
		}
		for _, d := range s.Databases {
			collectDatabase(out, name, d)
		}
	}
}

func collectDatabase(out chan<- prometheus.Metric, name types.NamespacedName, d backupapi.DatabaseStatus) {
	tell := func(what *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, name.Namespace, name.Name, d.Name)
	}
	if d.LastVerified != nil {
		tell(lastVerify, float64(d.LastVerified.Unix()))
	}
	if d.DrillSeconds > 0 {
		tell(drillTime, d.DrillSeconds)
	}
	if d.LastSuccess == nil {
		return
	}
	tell(lastSuccess, float64(d.LastSuccess.Unix()))
	if d.Backup != "" {
		tell(size, float64(d.Bytes))
		tell(stored, float64(d.Stored))
		tell(duration, d.Seconds)
		tell(anomalies, float64(d.Anomalies))
	}
}
