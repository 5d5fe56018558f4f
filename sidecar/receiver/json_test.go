package receiver

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// The estimate is exact in what it counts: a text is taken within it, and refused a byte
// below.
func TestCheckJSON(t *testing.T) {
	const spansOf = smallObject + smallObject // an object with a list
	cases := map[string]struct {
		text  string
		extra int // beside twice the text's own length
	}{
		"nothing":                           {``, 0},
		"an object":                         {`{}`, smallObject},
		"a list of numbers":                 {`[1,2,3]`, smallObject + 2*element},
		"a span":                            {`{"spans":[{}]}`, spansOf + bigObject},
		"two spans":                         {`{"spans":[{},{}]}`, spansOf + 2*bigObject + element},
		"attributes of a span":              {`{"spans":[{"attributes":[{},{}]}]}`, spansOf + bigObject + smallObject + 2*smallObject + element},
		"a span after attributes":           {`{"spans":[{"a":[{}]},{}]}`, spansOf + bigObject + 2*smallObject + element + bigObject},
		"a list of lists is not of spans":   {`{"spans":[[{}]]}`, spansOf + smallObject + smallObject},
		"an object by the name of a list":   {`{"spans":{"x":[{}]}}`, spansOf + smallObject + smallObject},
		"a key that is no list":             {`{"span":[{}]}`, spansOf + smallObject},
		"brackets in a text":                {`{"a":"[{,:"}`, smallObject},
		"a quotation mark in a text":        {`{"a":"\"[{"}`, smallObject},
		"a backslash at the end of a text":  {`{"a":"\\","b":[]}`, smallObject + element + smallObject},
		"a text that does not end":          {`{"a":"[`, smallObject},
		"a text that ends with a backslash": {`{"a":"\`, smallObject},
		"more ends than beginnings":         {`]]]{}`, smallObject},
		"every list of spans, points, records": {
			`{"resourceSpans":[{}],"resourceMetrics":[{}],"resourceLogs":[{}],"scopeSpans":[{}],"scopeMetrics":[{}],"scopeLogs":[{}],"metrics":[{}],"logRecords":[{}],"dataPoints":[{}],"events":[{}],"links":[{}],"exemplars":[{}],"quantileValues":[{}]}`,
			smallObject + 13*(smallObject+bigObject) + 12*element,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := 2*len(c.text) + c.extra
			if err := checkJSON([]byte(c.text), want); err != nil {
				t.Errorf("with %d bytes of memory: %v", want, err)
			}
			if err := checkJSON([]byte(c.text), want-1); !errors.Is(err, errTooBig) {
				t.Errorf("with %d bytes of memory: %v", want-1, err)
			}
		})
	}
	for open, end := range map[string]string{"[": "]", `{"a":`: "}"} {
		deep := strings.Repeat(open, maxJSONDepth)
		if err := checkJSON([]byte(deep), 1<<20); err != nil {
			t.Errorf("%d deep: %v", maxJSONDepth, err)
		}
		if err := checkJSON([]byte(deep+open), 1<<20); !errors.Is(err, wire.ErrTooDeep) || !errors.Is(err, errMalformed) {
			t.Errorf("one deeper: %v", err)
		}
		if err := checkJSON([]byte(strings.Repeat(open+end, maxJSONDepth+1)), 1<<20); err != nil {
			t.Errorf("beside each other: %v", err)
		}
	}
}

// Text that is not UTF-8 is repaired in JSON of every signal: invalid bytes, and
// half of a surrogate pair.
func TestTake_RepairsJSON(t *testing.T) {
	bodies := map[ledger.Signal]string{
		ledger.Traces:  `{"resourceSpans":[{"resource":{"attributes":[{"key":"BAD","value":{"stringValue":"BAD"}}]},"scopeSpans":[{"scope":{"name":"BAD"},"spans":[{"name":"good"},{"name":"BAD","status":{"message":"BAD"},"events":[{"name":"BAD"}]}]}]}]}`,
		ledger.Metrics: `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"good","gauge":{"dataPoints":[{"asInt":1}]}},{"name":"BAD","unit":"BAD","sum":{"dataPoints":[{"asInt":"2","attributes":[{"key":"k","value":{"arrayValue":{"values":[{"stringValue":"BAD"}]}}}]}]}}]}]}]}`,
		ledger.Logs:    `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"good"}},{"severityText":"BAD","body":{"kvlistValue":{"values":[{"key":"BAD","value":{"stringValue":"BAD"}}]}}}]}]}]}`,
	}
	invalid := map[string]string{"a byte alone": "b\xffd", "a character that breaks off": "b\xe2\x82", "half of a pair": `b\ud83dd`, "an encoded half of a pair": "b\xed\xa0\xbdd"}
	for signal, body := range bodies {
		for name, text := range invalid {
			t.Run(signal.String()+"/"+name, func(t *testing.T) {
				k := newTaker(never)
				var got wire.Request
				k.connect(signal, func(ctx context.Context) error {
					got = wire.FromContext(ctx)
					got.Body = bytes.Clone(got.Body)
					return nil
				})
				p, err := k.take(t.Context(), signal, []byte(strings.ReplaceAll(body, "BAD", text)), jsonText)
				sum, scanErr := wire.Scan(signal, got.Body)
				if err != nil || p.rejected != 0 || scanErr != nil || sum.Items != 2 || sum.InvalidText {
					t.Fatalf("took %+v, %v; handed on %+v, %v", p, err, sum, scanErr)
				}
				if n := bytes.Count(got.Body, []byte("\uFFFD")); n < strings.Count(body, "BAD") || !bytes.Contains(got.Body, []byte("good")) {
					t.Errorf("repaired %d texts in %q", n, got.Body)
				}
			})
		}
	}
}

// The answer to a request that cannot be decoded quotes nothing of it: it is not redacted.
func TestFromJSON_ErrorsQuoteNothing(t *testing.T) {
	k := newTaker(never)
	for request, want := range map[string]string{
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"S3CRET",}]}]}]}`:               "no JSON from byte 61 on",
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"S3CRET"}]}]}]}`:             "a field of its JSON",
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"S3CRET"}]}]}]}`:   "a field of its JSON",
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":{"S3CRET":1}}]}]}]}`:            "a field of its JSON",
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"status":{"code":"S3CRET"}}]}]}]}S3CR`: "no JSON from byte",
	} {
		_, err := k.take(t.Context(), ledger.Traces, []byte(request), jsonText)
		if !errors.Is(err, errMalformed) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "S3CR") {
			t.Errorf("%s: %v", request, err)
		}
	}
}
