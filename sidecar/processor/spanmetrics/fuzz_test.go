package spanmetrics

import (
	"math/rand/v2"
	"testing"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// FuzzMetrics observes whatever the receiver takes: each span has one result, each counted
// request is in one histogram, and Prometheus reads the text.
func FuzzMetrics(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(marshal(f, randomSpans(rand.New(rand.NewPCG(seed, 4)))))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sum, err := wire.Scan(ledger.Traces, body)
		if err != nil {
			return
		}
		if sum.InvalidText {
			body = wire.Repair(ledger.Traces, body)
		}
		m := newMetrics(2)
		observe(m, body)
		var spans int64
		for _, n := range m.spans {
			spans += n
		}
		if spans != int64(sum.Items) {
			t.Errorf("%d spans have a result, of %d", spans, sum.Items)
		}
		if m.spans[overflow] > 0 && len(m.byKey) != 2 {
			t.Errorf("%d series before the limit of 2 is exceeded", len(m.byKey))
		}
		histograms := len(m.byKey)
		for _, s := range m.overflow {
			if s != nil {
				histograms++
			}
		}
		if got := len(exposed(t, m).counts()); got != histograms {
			t.Errorf("%d histograms are exposed, of %d", got, histograms)
		}
	})
}
