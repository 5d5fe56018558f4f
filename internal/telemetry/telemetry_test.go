package telemetry

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	ledgerapi "github.com/nova/novawire/api/ledger"
)

func TestDerive(t *testing.T) {
	service := func(namespace, name string, e ledgerapi.Entry) ledgerapi.Service {
		return ledgerapi.Service{Namespace: namespace, Name: name, Signals: map[string]ledgerapi.Entry{ledgerapi.Traces: e}}
	}
	all := []ledgerapi.Service{
		service("nova", "chat", ledgerapi.Entry{Accepted: 100, Exported: 90, ExportedBytes: 3e9, Dropped: map[string]int64{"queue_full": 6}, Unaccounted: 4}),
		service("nova", "feed", ledgerapi.Entry{}),
		service("shop", "cart", ledgerapi.Entry{Accepted: 10, Exported: 10, ExportedBytes: 1e9}),
	}
	r := derive(all, "nova", 0.5)
	var got [][3]float64
	for _, s := range r.Services {
		got = append(got, [3]float64{s.Loss, s.Share, s.Cost})
	}
	if diff := cmp.Diff([][3]float64{{0.1, 0.75, 1.5}, {0, 0, 0}}, got); diff != "" {
		t.Errorf("loss, share and cost (-want +got):\n%s", diff)
	}
	if r := derive(nil, "", 0); r.Services == nil {
		t.Error("no services are null in JSON")
	}
}
