package ledger

import (
	"cmp"
	"maps"
	"slices"
)

// Service is the account of a service over all of its pods.
type Service struct {
	Namespace string           `json:"namespace"`
	Name      string           `json:"service"`
	Signals   map[string]Entry `json:"signals"`
	Pods      int              `json:"pods"`      // that exist
	GonePods  int              `json:"gone_pods"` // that are counted
	// UnknownRuns is the number of runs of sidecars that ended without a final ledger: what
	// they counted after it was read for the last time is not known.
	UnknownRuns int `json:"unknown_runs"`
}

// Report adds up accounts by service, in the order of namespaces and names.
func Report(accounts ...*Account) []Service {
	type key struct{ namespace, service string }
	all := map[key]*Service{}
	add := func(namespace, service string, signals map[string]Entry) *Service {
		service = Name(service) // one that was stored
		k := key{namespace, service}
		s := all[k]
		if s == nil {
			s = &Service{Namespace: namespace, Name: service, Signals: map[string]Entry{}}
			all[k] = s
		}
		for signal, e := range signals {
			s.Signals[signal] = s.Signals[signal].Plus(e)
		}
		return s
	}
	for _, a := range accounts {
		for namespace, services := range a.Totals {
			for service, t := range services {
				s := add(namespace, service, t.Signals)
				s.GonePods += t.Pods
				s.UnknownRuns += t.Unknown
			}
		}
		for _, p := range a.Pods {
			s := add(p.Namespace, p.Service, p.Total())
			s.Pods++
			s.UnknownRuns += p.Unknown
		}
	}
	// Pointers: their code is in the manager already.
	sorted := slices.SortedFunc(maps.Values(all), func(a, b *Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	report := make([]Service, 0, len(all))
	for _, s := range sorted {
		report = append(report, *s)
	}
	return report
}

// Total returns the sum over all signals. Its items are of different kinds.
func (s Service) Total() (sum Entry) {
	for _, e := range s.Signals {
		sum = sum.Plus(e)
	}
	return sum
}

// Lost returns how many items were accepted and will not arrive, or may not: dropped ones, and
// those that sidecars held when they were killed.
func (e Entry) Lost() int64 { return Add(Sum(e.Dropped), e.Unaccounted) }
