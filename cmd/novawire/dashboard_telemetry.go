package main

import (
	"cmp"
	"slices"

	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/telemetry"
	"github.com/nova/novawire/internal/units"
)

// maxShownServices bounds the answer of a large cluster. Services that lost something come
// first, then those that sent most.
const maxShownServices = 200

// shownTelemetry is the account of `novawire telemetry`, as the dashboard shows it.
type shownTelemetry struct {
	Accepted  int64          `json:"accepted"`
	Delivered int64          `json:"delivered"`
	Lost      int64          `json:"lost"`
	Loss      string         `json:"loss"`
	Services  []shownService `json:"services"`
	// More is how many services are left out.
	More int `json:"more,omitempty"`
}

// shownService is one line of `novawire telemetry`.
type shownService struct {
	Namespace   string        `json:"namespace"`
	Name        string        `json:"service"`
	Pods        int           `json:"pods"`
	GonePods    int           `json:"gonePods"`
	UnknownRuns int           `json:"unknownRuns"`
	Accepted    int64         `json:"accepted"`
	Delivered   int64         `json:"delivered"`
	Lost        int64         `json:"lost"`
	Loss        string        `json:"loss"`
	Refused     int64         `json:"refused"`
	Redacted    int64         `json:"redacted"`
	Stored      int64         `json:"stored"`
	Bytes       string        `json:"bytes"`
	Share       string        `json:"share"`
	Signals     []shownSignal `json:"signals"`
}

// shownSignal is one line of `novawire telemetry NAMESPACE`.
type shownSignal struct {
	Signal      string `json:"signal"`
	Accepted    int64  `json:"accepted"`
	Delivered   int64  `json:"delivered"`
	Dropped     int64  `json:"dropped"`
	Unaccounted int64  `json:"unaccounted"`
	Stored      int64  `json:"stored"`
	Refused     int64  `json:"refused"`
	Bytes       string `json:"bytes"`
	Reasons     string `json:"reasons,omitempty"`
}

func newShownTelemetry(r telemetry.Report) *shownTelemetry {
	if len(r.Services) == 0 {
		return nil
	}
	services := slices.Clone(r.Services)
	slices.SortStableFunc(services, func(a, b telemetry.Service) int {
		return cmp.Or(cmp.Compare(lostFirst(a), lostFirst(b)), cmp.Compare(b.Total().ExportedBytes, a.Total().ExportedBytes))
	})
	shown := &shownTelemetry{More: max(0, len(services)-maxShownServices)}
	for i, s := range services {
		all := s.Total()
		shown.Accepted, shown.Delivered, shown.Lost = ledgerapi.Add(shown.Accepted, all.Accepted), ledgerapi.Add(shown.Delivered, all.Exported), ledgerapi.Add(shown.Lost, all.Lost())
		if i >= maxShownServices {
			continue
		}
		shown.Services = append(shown.Services, shownService{
			Namespace: s.Namespace, Name: s.Name, Pods: s.Pods, GonePods: s.GonePods, UnknownRuns: s.UnknownRuns,
			Accepted: all.Accepted, Delivered: all.Exported, Lost: all.Lost(), Loss: percent(s.Loss), Refused: ledgerapi.Sum(all.Refused), Redacted: ledgerapi.Sum(all.Redacted), Stored: all.Stored,
			Bytes: units.Bytes(all.ExportedBytes), Share: percent(s.Share), Signals: shownSignals(s),
		})
	}
	if shown.Accepted > 0 {
		shown.Loss = percent(float64(shown.Lost) / float64(shown.Accepted))
	}
	return shown
}

func lostFirst(s telemetry.Service) int {
	if s.Total().Lost() > 0 {
		return 0
	}
	return 1
}

func shownSignals(s telemetry.Service) (all []shownSignal) {
	for _, signal := range ledgerapi.Signals() {
		e := s.Signals[signal]
		if isSilent(e) {
			continue
		}
		all = append(all, shownSignal{
			Signal: signal, Accepted: e.Accepted, Delivered: e.Exported, Dropped: ledgerapi.Sum(e.Dropped), Unaccounted: e.Unaccounted,
			Stored: e.Stored, Refused: ledgerapi.Sum(e.Refused), Bytes: units.Bytes(e.ExportedBytes), Reasons: reasonsOf(e),
		})
	}
	return all
}
