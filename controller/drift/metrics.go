package drift

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nova/novawire/api/injection"
)

// Metrics counts the pods of namespaces that opted in.
type Metrics struct {
	pods *prometheus.GaugeVec
}

// NewMetrics creates the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{pods: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "novawire_pods",
		Help: "Running and starting pods of namespaces that opted in, by state: wired, missing (not wired), stale (older configuration or sidecar image), changed (after it was wired), skipped (for a reason).",
	}, []string{"namespace", "state"})}
	registry.MustRegister(m.pods)
	return m
}

// Reset forgets all namespaces, when another replica may report them.
func (m *Metrics) Reset() { m.pods.Reset() }

func (m *Metrics) set(namespace string, counts map[injection.PodState]int) {
	for _, state := range injection.PodStates() {
		m.pods.WithLabelValues(namespace, string(state)).Set(float64(counts[state]))
	}
}

func (m *Metrics) forget(namespace string) {
	m.pods.DeletePartialMatch(prometheus.Labels{"namespace": namespace})
}
