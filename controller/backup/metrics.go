package backup

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	backupapi "github.com/nova/novawire/api/backup"
)

// Metrics exports the statuses of a [StatusCache]. Statuses are stored in
// annotations, so counters continue after a restart of the manager.
type Metrics struct{ statuses *StatusCache }

// RegisterMetrics registers the metrics of backups.
func RegisterMetrics(registry prometheus.Registerer, statuses *StatusCache) {
	registry.MustRegister(&Metrics{statuses})
}

var (
	ofDatabase    = []string{"namespace", "statefulset", "database"}
	ofStatefulSet = []string{"namespace", "statefulset"}

	lastSuccess = gauge("last_success_timestamp_seconds", "Time of the snapshot of the newest committed backup.", ofDatabase...)
	lastVerify  = gauge("last_verified_timestamp_seconds", "Time of the snapshot of the newest backup that a drill has restored.", ofDatabase...)
	lastCopy    = gauge("last_copied_timestamp_seconds", "Time of the newest backup in the second store.", ofDatabase...)
	size        = gauge("size_bytes", "Size of the newest backup as dumped by PostgreSQL.", ofDatabase...)
	stored      = gauge("stored_bytes", "Size of the newest backup as stored in S3.", ofDatabase...)
	duration    = gauge("duration_seconds", "Duration of the newest backup.", ofDatabase...)
	drillTime   = gauge("drill_duration_seconds", "Duration of the newest restore drill.", ofDatabase...)
	anomalies   = gauge("anomalies", "Tables that disappeared or lost 90 % of their rows since the previous backup.", ofDatabase...)
	notGood     = gauge("not_good", "Backups that do not count as a way back: damaged, unreadable, empty, incomplete or misdated.", ofDatabase...)
	refused     = gauge("prune_refused", "1 if the newest backup's run refused to prune because it would have deleted too much.", ofDatabase...)
	failures    = gauge("failures_total", "Failed backups, drills and restores.", append(ofStatefulSet, "category")...)
	info        = gauge("info", "1 for each source that is or was backed up. With suspended=\"true\" no run starts on schedule.", append(ofStatefulSet, "suspended")...)
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("novawire_backup_"+name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lastSuccess, lastVerify, lastCopy, size, stored, duration, drillTime, anomalies, notGood, refused, failures, info} {
		descriptions <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.statuses.each(func(source backupapi.Source, s backupapi.Status) {
		suspended := strconv.FormatBool(s.Suspended != "")
		out <- prometheus.MustNewConstMetric(info, prometheus.GaugeValue, 1, source.Namespace, source.Reference(), suspended)
		for category, n := range s.Failures {
			out <- prometheus.MustNewConstMetric(failures, prometheus.CounterValue, float64(n), source.Namespace, source.Reference(), string(category))
		}
		for _, d := range s.Databases {
			collectDatabase(out, source, d)
		}
	})
}

func collectDatabase(out chan<- prometheus.Metric, source backupapi.Source, d backupapi.DatabaseStatus) {
	emit := func(what *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, source.Namespace, source.Reference(), d.Name)
	}
	if d.LastVerified != nil {
		emit(lastVerify, float64(d.LastVerified.Unix()))
	}
	if d.LastCopied != nil {
		emit(lastCopy, float64(d.LastCopied.Unix()))
	}
	if d.DrillSeconds > 0 {
		emit(drillTime, d.DrillSeconds)
	}
	emit(notGood, float64(d.NotGood))
	if d.LastSuccess == nil {
		return
	}
	emit(lastSuccess, float64(d.LastSuccess.Unix()))
	if d.Backup != "" {
		emit(size, float64(d.Bytes))
		emit(stored, float64(d.Stored))
		emit(duration, d.Seconds)
		emit(anomalies, float64(d.Anomalies))
		emit(refused, map[bool]float64{true: 1}[d.PruneRefused])
	}
}
