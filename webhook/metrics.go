package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nova/novawire/webhook/inject"
)

// Metrics are the Prometheus metrics of admission.
type Metrics struct {
	decisions *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	misses    prometheus.Counter
	ignored   *prometheus.CounterVec
	wired     prometheus.Counter
}

// NewMetrics creates the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "novawire_admission_decisions_total",
			Help: "Admission reviews by webhook, action and reason.",
		}, []string{"webhook", "action", "reason"}),
		// Most answers take tens of microseconds. The API server stops waiting after
		// three seconds.
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "novawire_admission_duration_seconds",
			Help:    "Time from the start of a review to its answer.",
			Buckets: []float64{50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3, 250e-3, 1},
		}, []string{"webhook"}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "novawire_namespace_cache_misses_total",
			Help: "Reviews whose namespace was missing or outdated in the cache and was read live.",
		}),
		wired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "novawire_pods_wired_total",
			Help: "Pods that were wired. One that is reviewed again, because another webhook changed it, counts once; a dry run does not.",
		}),
		ignored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "novawire_annotations_ignored_total",
			Help: "Annotations of new pods and of their namespaces that were ignored, by namespace and reason: they are wrong, or the configuration does not allow them.",
		}, []string{"namespace", "reason"}),
	}
	registry.MustRegister(m.decisions, m.duration, m.misses, m.ignored, m.wired)
	return m
}

func (m *Metrics) observe(webhook string, action inject.Action, reason inject.Reason, start time.Time) {
	m.decisions.WithLabelValues(webhook, string(action), string(reason)).Inc()
	m.duration.WithLabelValues(webhook).Observe(time.Since(start).Seconds())
}

// countIgnored counts the annotations that a decision ignored.
func (m *Metrics) countIgnored(namespace string, d inject.Decision) {
	for _, n := range d.Notes {
		if n.Reason == inject.BadAnnotation || n.Reason == inject.NotAllowed {
			m.ignored.WithLabelValues(namespace, string(n.Reason)).Inc()
		}
	}
}

// countPod counts the pod of a review in which it was wired. A later review of the same pod
// completes it or leaves it.
func (m *Metrics) countPod(action inject.Action) {
	if action == inject.Wired || action == inject.Rewired {
		m.wired.Inc()
	}
}
