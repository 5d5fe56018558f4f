package audit

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics exports the newest report.
type Metrics struct {
	mu     sync.Mutex
	report Report
	at     time.Time // of the report; zero before the first
}

// NewMetrics registers the metrics of audits.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{}
	registry.MustRegister(m)
	return m
}

// Set replaces the report.
func (m *Metrics) Set(r Report, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report, m.at = r, at
}

// Reset forgets the report: another replica audits from now on.
func (m *Metrics) Reset() { m.Set(Report{}, time.Time{}) }

var (
	unprotected = prometheus.NewDesc("novawire_postgresql_unprotected",
		"1 for each PostgreSQL database that is not backed up, by reason; 0 for those that are backed up or exempt.",
		[]string{"namespace", "kind", "name", "reason"}, nil)
	auditTime = prometheus.NewDesc("novawire_backup_audit_timestamp_seconds", "Time of the newest audit.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- unprotected
	descriptions <- auditTime
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		return
	}
	out <- prometheus.MustNewConstMetric(auditTime, prometheus.GaugeValue, float64(m.at.Unix()))
	for _, d := range m.report.Databases {
		value := 0.0
		if d.NeedsAction() {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(unprotected, prometheus.GaugeValue, value, d.Namespace, d.Kind, d.Name, string(d.Reason))
	}
}
