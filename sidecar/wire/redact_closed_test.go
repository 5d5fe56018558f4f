package wire

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/sidecar/ledger"
)

func intOf(n uint64) []byte { return protowire.AppendVarint([]byte{3 << 3}, n) }

func doubleOf(n float64) []byte {
	return protowire.AppendFixed64([]byte{4<<3 | 1}, math.Float64bits(n))
}

// logOf makes a request of a log record with a body.
func logOf(body []byte) []byte {
	return appendBytes(nil, 1, appendBytes(nil, 2, appendBytes(nil, 2, appendBytes(nil, 5, body))))
}

func listOf(value []byte) []byte { return appendBytes(nil, 5, appendBytes(nil, 1, value)) }

// spanWith makes a request of a span with another field.
func spanWith(field []byte) []byte {
	return appendBytes(nil, 1, appendBytes(nil, 2, appendBytes(nil, 2, slices.Concat(textField(5, "n"), field))))
}

// Numbers are redacted as texts are, by each action and also where no rule can be read. What
// has a form that nobody knows is left out if a rule may mean it.
func TestRedactor_NumbersAndUnknownFields(t *testing.T) {
	const card = 4111111111111111
	masked := textField(1, "[redacted]")
	cases := map[string]struct {
		rules         string
		signal        ledger.Signal
		request, want []byte
	}{
		"a body that is a number, closed":             {"mask preset card-numbrs", ledger.Logs, logOf(intOf(card)), logOf(masked)},
		"a body that is a list of numbers, closed":    {"mask preset card-numbrs", ledger.Logs, logOf(listOf(intOf(card))), logOf(listOf(masked))},
		"a body that is a fraction, closed":           {"mask preset card-numbrs", ledger.Logs, logOf(doubleOf(1.5)), logOf(masked)},
		"a number in a body that no key names":        {"maks key a", ledger.Logs, logOf(intOf(card)), logOf(intOf(card))},
		"a number is dropped with its key":            {"drop preset card-numbers", ledger.Traces, attributes(pairOf("a", intOf(card)), pairOf("b", intOf(7))), attributes(pairOf("b", intOf(7)))},
		"a number is hashed like its text":            {"hash value ^1$", ledger.Traces, attributes(pairOf("a", intOf(1)), pairOf("b", doubleOf(1))), attributes(textPair("a", "hmac:839cd35aadba3cdc"), textPair("b", "hmac:839cd35aadba3cdc"))},
		"a number that matches in part goes whole":    {"mask value ^41", ledger.Traces, attributes(pairOf("a", intOf(card))), attributes(textPair("a", "[redacted]"))},
		"a number in a list cannot be left out":       {"drop preset card-numbers", ledger.Logs, logOf(listOf(intOf(card))), logOf(listOf(masked))},
		"an unknown field of a span, closed":          {"mask preset emial", ledger.Traces, spanWith(textField(99, "jane@example.com")), spanOf("[redacted]")},
		"an unknown field, closed for keys":           {"maks key a", ledger.Traces, spanWith(textField(99, "jane@example.com")), spanWith(nil)},
		"an unknown number, closed":                   {"mask preset emial", ledger.Traces, spanWith(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), card)), spanOf("[redacted]")},
		"an attribute in an unknown field":            {"mask key password", ledger.Traces, spanWith(appendBytes(nil, 99, textPair("password", "S3CRET"))), spanWith(nil)},
		"an attribute deep in an unknown field":       {"mask key password", ledger.Traces, spanWith(appendBytes(nil, 99, slices.Concat(intOf(1), appendBytes(nil, 2, appendBytes(nil, 9, textPair("password", "S3CRET")))))), spanWith(nil)},
		"an unknown field beside a value that is one": {"mask key a\nmask preset email", ledger.Traces, attributes(slices.Concat(textPair("a", "b"), textField(9, "jane@example.com"), textField(10, "kept"))), attributes(slices.Concat(textField(1, "a"), textField(10, "kept"), appendBytes(nil, 2, masked)))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, counts := NewRedactor(newRules(t, c.rules)).Redact(c.signal, c.request)
			if _, err := Scan(c.signal, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, c.want) {
				t.Errorf("becomes\n%q, want\n%q", got, c.want)
			}
			if changed := !bytes.Equal(got, c.request); changed != (counts != (redact.Counts{})) {
				t.Errorf("counted %v", counts)
			}
		})
	}
}

// A rule that cannot be read does not hide where telemetry comes from; one that can does.
func TestRedactor_KeepsOrigin(t *testing.T) {
	origin := func(uid, name string) []byte {
		return appendBytes(nil, 1, appendBytes(nil, 1, slices.Concat(
			appendBytes(nil, 1, textPair("k8s.pod.uid", uid)), appendBytes(nil, 1, textPair("service.name", name)), appendBytes(nil, 1, textPair("team", name)),
			appendBytes(nil, 1, textPair("k8s.pod.label.owner", "[redacted]")), appendBytes(nil, 1, textPair("other", "[redacted]")))))
	}
	request := bytes.ReplaceAll(origin("uid-1", "cart"), []byte("[redacted]"), []byte("0123456789"))
	for rules, want := range map[string][]byte{
		"maks key x":                       origin("uid-1", "cart"),
		"maks value x":                     origin("uid-1", "cart"),
		"maks key x; mask key k8s.pod.uid": origin("[redacted]", "cart"),
		"maks key x; mask value ^uid-1$":   origin("[redacted]", "cart"),
	} {
		t.Run(rules, func(t *testing.T) {
			for _, signal := range ledger.Signals {
				got, counts := NewRedactor(newRules(t, rules), "team").Redact(signal, request)
				if !bytes.Equal(got, want) {
					t.Errorf("%s: becomes\n%q, want\n%q", signal, got, want)
				}
				if n := counts[len(newRules(t, rules).Names())-1]; n != 2 {
					t.Errorf("%s: counted %d attributes as masked for a rule that cannot be read, want 2", signal, n)
				}
			}
		})
	}
	if got, _ := NewRedactor(newRules(t, "maks key x")).Redact(ledger.Traces, attributes(textPair("service.name", "x"))); !bytes.Contains(got, []byte(redact.Masked)) {
		t.Errorf("an attribute of a span stays: %q", got)
	}
}

// What is written is bounded, whatever a request grows to.
func TestRedactor_Limit(t *testing.T) {
	var list [][]byte
	for range 1000 {
		list = append(list, textPair("a", strings.Repeat("1 ", 50)))
	}
	request, r := attributes(list...), NewRedactor(newRules(t, "hash value [0-9]"))
	if got, counts, ok := r.RedactWithin(ledger.Traces, request, len(request)); ok || got != nil || counts != (redact.Counts{}) {
		t.Errorf("got %d bytes, %t", len(got), ok)
	}
	if most := 2*len(request) + 4096; cap(r.to) > most {
		t.Errorf("the buffer has %d bytes for a limit of %d", cap(r.to), len(request))
	}
	want, counts := NewRedactor(newRules(t, "hash value [0-9]")).Redact(ledger.Traces, request)
	if got, again, ok := r.RedactWithin(ledger.Traces, request, len(want)); !ok || again != counts || !bytes.Equal(got, want) {
		t.Errorf("the next request: %d bytes, want %d", len(got), len(want))
	}
}

// After a large request nothing large stays, neither of the request nor of its matches.
func TestRedactor_Release(t *testing.T) {
	r := NewRedactor(newRules(t, "mask value [0-9]"))
	rules := r.rules
	r.Redact(ledger.Traces, attributes(textPair("a", strings.Repeat("1 ", 1<<20))))
	if r.Release(); r.request != nil || cap(r.to)+cap(r.scratch) > 512<<10 || r.rules == rules {
		t.Error("the buffers of a large request are kept")
	}
	r.Redact(ledger.Traces, attributes(textPair("a", "1")))
	if rules = r.rules; r.to == nil {
		t.Fatal("nothing was redacted")
	}
	if r.Release(); r.to == nil || r.rules != rules {
		t.Error("the buffers of a small request are not kept")
	}
}
