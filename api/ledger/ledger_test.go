package ledger

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseMessage(t *testing.T) {
	many := func(n, length int) string {
		var reasons []string
		for i := range n {
			reasons = append(reasons, fmt.Sprintf(`"%0*d":1`, length, i))
		}
		return strings.Join(reasons, ",")
	}
	cases := map[string]struct{ text, err string }{
		"a final ledger":            {`{"ledger":{"traces":{"accepted":3,"exported":3}}}`, ""},
		"one of a killed sidecar":   {`{"running":true,"ledger":{"logs":{"accepted":3}}}` + "   \n", ""},
		"a text that is cut off":    {`{"ledger":{"traces":{"acce`, "read ledger: unexpected end"},
		"another text":              {`panic: out of memory`, "read ledger: invalid character"},
		"no ledger":                 {`{}`, `read ledger: no member "ledger"`},
		"a negative number":         {`{"ledger":{"traces":{"dropped":{"shutdown":-1}}}}`, "read ledger of traces: -1: use a number from 0"},
		"a number that overflows":   {`{"ledger":{"traces":{"accepted_bytes":9000000000000000000}}}`, "read ledger of traces: 9000000000000000000: use"},
		"a negative restored one":   {`{"ledger":{"traces":{"restored":{"accepted":-1}}}}`, "read ledger of traces: -1: use"},
		"another signal":            {`{"ledger":{"profiles":{}}}`, `read ledger: "profiles": use traces, metrics, logs`},
		"more reasons than allowed": {`{"ledger":{"logs":{"refused":{` + many(33, 2) + `}}}}`, "33 reasons: at most 32"},
		"a reason that is too long": {`{"ledger":{"logs":{"refused":{` + many(1, 65) + `}}}}`, "at most 64 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseMessage([]byte(c.text))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
