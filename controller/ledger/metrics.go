package ledger

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	ledgerapi "github.com/nova/novawire/api/ledger"
)

// Metrics are the accounts by service, from the replica that leads.
type Metrics struct {
	mu       sync.Mutex
	services []ledgerapi.Service
	own      map[[2]string]bool // namespaces and services with series of their own

	uncounted prometheus.Counter
}

// maxServices is how many services have series of their own. The others are one service,
// "other", in the namespace "".
const maxServices = 300

var (
	byService  = []string{"namespace", "service"}
	bySignal   = []string{"namespace", "service", "signal"}
	byOutcome  = []string{"namespace", "service", "signal", "outcome"}
	itemsDesc  = prometheus.NewDesc("novawire_telemetry_items_total", "Items of a service over all of its pods: accepted, exported, dropped or refused by their sidecars.", byOutcome, nil)
	bytesDesc  = prometheus.NewDesc("novawire_telemetry_exported_bytes_total", "Bytes of a service that the backends took, as OTLP before compression.", bySignal, nil)
	storedDesc = prometheus.NewDesc("novawire_telemetry_stored_items", "Items that sidecars which ended left in their storage.", bySignal, nil)
	lostDesc   = prometheus.NewDesc("novawire_telemetry_unaccounted_items", "Items that sidecars held when they were killed: nobody knows whether they arrived.", bySignal, nil)
	runsDesc   = prometheus.NewDesc("novawire_telemetry_unknown_runs_total", "Runs of sidecars that ended without a final ledger.", byService, nil)
)

// NewMetrics creates the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{own: map[[2]string]bool{}, uncounted: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "novawire_telemetry_uncounted_pods_total",
		Help: "Pods that are gone and were forgotten without being counted, because the account could not be kept.",
	})}
	registry.MustRegister(m, m.uncounted)
	return m
}

// Reset forgets all services, when another replica may report them.
func (m *Metrics) Reset() { m.set(nil) }

func (m *Metrics) set(report []ledgerapi.Service) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.services = make([]ledgerapi.Service, 0, min(len(report), maxServices+1))
	other := ledgerapi.Service{Name: ledgerapi.Other, Signals: map[string]ledgerapi.Entry{}}
	rest := false
	for _, s := range report {
		key := [2]string{s.Namespace, s.Name}
		if !m.own[key] && len(m.own) >= maxServices {
			rest = true
			for signal, e := range s.Signals {
				other.Signals[signal] = other.Signals[signal].Plus(e)
			}
			other.UnknownRuns += s.UnknownRuns
			continue
		}
		m.own[key] = true
		m.services = append(m.services, s)
	}
	if rest {
		m.services = append(m.services, other)
	}
}

// Describe implements [prometheus.Collector].
func (*Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{itemsDesc, bytesDesc, storedDesc, lostDesc, runsDesc} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, n int64, labels ...string) {
		// A stored name that is no label must not take all metrics of the manager with it.
		if metric, err := prometheus.NewConstMetric(d, kind, float64(n), labels...); err == nil {
			to <- metric
		}
	}
	for _, s := range m.services {
		for signal, e := range s.Signals {
			for outcome, n := range map[string]int64{
				"accepted": e.Accepted, "exported": e.Exported, "dropped": ledgerapi.Sum(e.Dropped), "refused": ledgerapi.Sum(e.Refused),
			} {
				send(itemsDesc, prometheus.CounterValue, n, s.Namespace, s.Name, signal, outcome)
			}
			send(bytesDesc, prometheus.CounterValue, e.ExportedBytes, s.Namespace, s.Name, signal)
			send(storedDesc, prometheus.GaugeValue, e.Stored, s.Namespace, s.Name, signal)
			send(lostDesc, prometheus.GaugeValue, e.Unaccounted, s.Namespace, s.Name, signal)
		}
		send(runsDesc, prometheus.CounterValue, int64(s.UnknownRuns), s.Namespace, s.Name)
	}
}
