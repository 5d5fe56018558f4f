package probe

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the results of the checks, from the replica that leads.
type Metrics struct {
	success *prometheus.GaugeVec
	present *prometheus.GaugeVec
	// restored counts by kind.
	restored *prometheus.CounterVec
}

// NewMetrics creates the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "novawire_admission_probe_success",
			Help: "1 if the last synthetic pod came back wired from the API server, else 0.",
		}, nil),
		present: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "novawire_webhook_configuration_present",
			Help: "1 if the webhook configuration of this kind exists, else 0.",
		}, []string{"kind"}),
		restored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "novawire_webhook_configurations_restored_total",
			Help: "Deleted webhook configurations that were put back, by kind.",
		}, []string{"kind"}),
	}
	registry.MustRegister(m.success, m.present, m.restored)
	return m
}

// Reset forgets the results, when another replica may report them.
func (m *Metrics) Reset() {
	m.success.Reset()
	m.present.Reset()
}

func (m *Metrics) setSuccess(ok bool) { m.success.WithLabelValues().Set(number(ok)) }

func (m *Metrics) setPresent(kind string, ok bool) { m.present.WithLabelValues(kind).Set(number(ok)) }

// forgetPresent has no metric say that a configuration is missing which is not wanted.
func (m *Metrics) forgetPresent(kind string) { m.present.DeleteLabelValues(kind) }

func number(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}
