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
		"a final ledger":                  {`{"ledger":{"traces":{"accepted":3,"exported":3}}}`, ""},
		"one of a killed sidecar":         {`{"running":true,"ledger":{"logs":{"accepted":3}}}` + "   \n", ""},
		"a text that is cut off":          {`{"ledger":{"traces":{"acce`, "read ledger: unexpected end"},
		"another text":                    {`panic: out of memory`, "read ledger: invalid character"},
		"no ledger":                       {`{}`, `read ledger: no member "ledger"`},
		"a negative number":               {`{"ledger":{"traces":{"dropped":{"shutdown":-1}}}}`, "read ledger of traces: -1: use a number from 0"},
		"a number that overflows":         {`{"ledger":{"traces":{"accepted_bytes":9000000000000000000}}}`, "read ledger of traces: 9000000000000000000: use"},
		"a negative restored one":         {`{"ledger":{"traces":{"restored":{"accepted":-1}}}}`, "read ledger of traces: -1: use"},
		"more restored than there is":     {`{"ledger":{"traces":{"accepted":5,"restored":{"accepted":6}}}}`, "read ledger of traces: -1: use"},
		"more restored than was exported": {`{"ledger":{"traces":{"accepted":5,"restored":{"exported":1}}}}`, "read ledger of traces: -1: use"},
		"more restored than was dropped":  {`{"ledger":{"traces":{"accepted":5,"dropped":{"shutdown":1},"restored":{"dropped":{"rejected":1}}}}}`, "read ledger of traces: -1: use"},
		"another signal":                  {`{"ledger":{"profiles":{}}}`, `read ledger: "profiles": use traces, metrics, logs`},
		"more reasons than allowed":       {`{"ledger":{"logs":{"refused":{` + many(33, 2) + `}}}}`, "33 reasons: at most 32"},
		"a reason that is too long":       {`{"ledger":{"logs":{"refused":{` + many(1, 65) + `}}}}`, "at most 64 bytes"},
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

// Whoever creates a pod writes its ledger: only reasons that sidecars have are kept.
func TestParseMessage_Reasons(t *testing.T) {
	m, err := ParseMessage([]byte(`{"ledger":{"logs":{"accepted":9,"unaccounted":5,"refused":{"memory":1,"\u001b[2J":2,"x":3},"refused_requests":{"busy":1,"memory":2},` +
		`"dropped":{"shutdown":1,"a\nb":2},"redacted":{"rule-1":1,"unreadable":1,"A b":2},"restored":{"dropped":{"a\nb":1}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	e := m.Ledger[Logs]
	want := "map[memory:1 other:5] map[busy:1 other:2] map[other:2 shutdown:1] map[other:2 rule-1:1 unreadable:1] map[other:1]"
	if got := fmt.Sprint(e.Refused, e.RefusedRequests, e.Dropped, e.Redacted, e.Restored.Dropped); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if e.Unaccounted != 0 {
		t.Errorf("%d items are unaccounted, which only the manager counts", e.Unaccounted)
	}
}

func TestName(t *testing.T) {
	for name, valid := range map[string]bool{
		"feed": true, "Größe 2/x": true, "": true, strings.Repeat("a", MaxName): true,
		strings.Repeat("a", MaxName+1): false, "a\xff": false, "a\x1b[2J": false, "a\tb": false, "a\nb": false, "a\u202eb": false,
	} {
		if got := Name(name); (got == name) != valid || !valid && got != "invalid" {
			t.Errorf("%.20q: %q", name, got)
		}
	}
}
