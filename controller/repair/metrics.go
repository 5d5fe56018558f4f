package repair

import (
	"github.com/prometheus/client_golang/prometheus"

	repairapi "github.com/nova/novawire/api/repair"
)

// Results of repairs.
const (
	resultEvicted   = "evicted"   // a pod
	resultRestarted = "restarted" // a workload
	resultRepaired  = "repaired"  // all pods of a workload are ready, and none is left to replace
	resultUndone    = "undone"    // a workload was not ready in time; its pods opted out
	resultStopped   = "stopped"   // the new pods of a workload are not wired
	resultAbandoned = "abandoned" // it ended before its end: somebody else changed something, or is needed
)

// Reasons to wait.
const (
	waitAnnotation = "annotation" // the annotation has no known value
	waitWindow     = "window"     // no maintenance window is open
	waitProbe      = "probe"      // the synthetic probe fails
	waitRate       = "rate"       // the rate of the cluster
	waitFirst      = "first"      // the first repair with this configuration is not finished
	waitUnable     = "unable"     // the workload cannot be repaired
	waitUnsettled  = "unsettled"  // not all of its pods are ready
	waitFailures   = "failures"   // too many repairs with this configuration were undone
	waitUnproven   = "unproven"   // the dry run of its pod is not wired
	waitBudget     = "budget"     // a PodDisruptionBudget, or another refusal of the eviction
)

// Metrics counts repairs.
type Metrics struct {
	repairs *prometheus.CounterVec
	waiting *prometheus.GaugeVec
}

// NewMetrics creates the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "novawire_repairs_total",
			Help: "Steps and results of repairs: pods evicted, workloads restarted, repaired, undone, stopped, abandoned.",
		}, []string{"mode", "result"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "novawire_repairs_waiting",
			Help: "Workloads that would be repaired and wait, by reason.",
		}, []string{"reason"}),
	}
	registry.MustRegister(m.repairs, m.waiting)
	return m
}

// Reset forgets what waits, when another replica may report it.
func (m *Metrics) Reset() { m.waiting.Reset() }

func (m *Metrics) count(mode repairapi.Mode, result string) {
	m.repairs.WithLabelValues(string(mode), result).Inc()
}

// show sets the numbers of waiting workloads.
func (m *Metrics) show(waiting map[key]string) {
	m.waiting.Reset()
	for _, reason := range waiting {
		m.waiting.WithLabelValues(reason).Inc()
	}
}
