package receiver

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

func repeated(name string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = name
	}
	return names
}

// Every piece of a request is redacted once and within the limits, also where what stands
// in the place of short values is longer. What is not accepted is not counted.
func TestTake_Redacts(t *testing.T) {
	const limit = 100 << 10
	cases := map[string]struct {
		names            []string
		refuse           bool
		pieces, rejected int
		redacted         int64
	}{
		"a request that fits":                      {[]string{"a@b.co", "x"}, false, 1, 0, 1},
		"a request in pieces":                      {[]string{strings.Repeat("x", limit) + "", "a@b.co", "a@b.co"}, false, 1, 1, 2},
		"a request that grows beyond a piece":      {[]string{strings.Repeat("a@b.co ", limit/34), strings.Repeat("a@b.co ", limit/34)}, false, 2, 0, 2 * (limit / 34)},
		"small items that grow more than fourfold": {repeated(strings.Repeat("1 ", 30), 1000), false, 10, 0, 30_000},
		"many items that grow beyond a piece":      {repeated("a@b.co", 4000), false, 4, 0, 4000},
		"an item that grows beyond a piece":        {[]string{strings.Repeat("a@b.co ", limit/8), "x"}, false, 1, 1, 0},
		"a request that is refused":                {[]string{"a@b.co"}, true, 1, 0, 0},
	}
	rules, _ := redaction.Parse("hash preset email; email: hash value [0-9]")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			k := newTaker(never)
			k.config.Piece = wire.Limits{Bytes: limit, Items: 1000}
			k.config.Redact = redact.New(rules, "key")
			k.stats.SetRules(k.config.Redact.Names())
			pieces := 0
			k.connect(ledger.Traces, func(ctx context.Context) error {
				r := wire.FromContext(ctx)
				if _, err := wire.Scan(ledger.Traces, r.Body); err != nil || len(r.Body) > limit || strings.Contains(string(r.Body), "a@b.co") {
					t.Errorf("a piece of %d bytes, %v", len(r.Body), err)
				}
				pieces++
				if c.refuse {
					return context.Canceled
				}
				return nil
			})
			p, err := k.take(t.Context(), ledger.Traces, request(t, c.names...), protobuf)
			if (err != nil) != c.refuse || p.rejected != c.rejected || pieces != c.pieces {
				t.Errorf("took %+v, %v; %d pieces, want %d", p, err, pieces, c.pieces)
			}
			if diff := cmp.Diff(c.redacted, k.counters.Entry().Redacted["email"]); diff != "" {
				t.Errorf("redacted (-want +got):\n%s", diff)
			}
		})
	}
}
