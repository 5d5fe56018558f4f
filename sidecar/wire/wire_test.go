package wire

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/nova/novawire/sidecar/ledger"
)

// samples are requests of every signal with several resources, scopes and items, and
// with every kind of field that this package describes.
func samples(t testing.TB) map[ledger.Signal][]byte {
	t.Helper()
	td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
	for r := range 3 {
		spans, records, points := td.ResourceSpans().AppendEmpty(), ld.ResourceLogs().AppendEmpty(), md.ResourceMetrics().AppendEmpty()
		spans.Resource().Attributes().PutInt("r", int64(r))
		spans.SetSchemaUrl("https://example.test/schema")
		records.Resource().Attributes().PutInt("r", int64(r))
		points.Resource().Attributes().PutInt("r", int64(r))
		for s := range 2 {
			ss, sl, sm := spans.ScopeSpans().AppendEmpty(), records.ScopeLogs().AppendEmpty(), points.ScopeMetrics().AppendEmpty()
			ss.Scope().SetName(fmt.Sprint("scope ", s))
			for i := range 7 {
				span := ss.Spans().AppendEmpty()
				span.SetName(fmt.Sprint("span ", r, s, i))
				span.TraceState().FromRaw("a=b")
				span.Status().SetMessage("ok")
				span.Attributes().PutEmptyMap("map").PutEmptySlice("list").AppendEmpty().SetStr("x")
				span.Attributes().PutEmptyBytes("bytes").Append(1, 2, 3)
				span.Events().AppendEmpty().Attributes().PutStr("event", "e")
				span.Links().AppendEmpty().Attributes().PutStr("link", "l")
				record := sl.LogRecords().AppendEmpty()
				record.Body().SetStr(fmt.Sprint("record ", r, s, i))
				record.SetSeverityText("INFO")
				record.Attributes().PutBool("b", true)
			}
			metrics := map[string]pmetric.Metric{}
			for _, name := range []string{"gauge", "sum", "histogram", "exponential", "summary"} {
				metrics[name] = sm.Metrics().AppendEmpty()
				metrics[name].SetName(name)
				metrics[name].SetUnit("s")
			}
			metrics["gauge"].SetEmptyGauge()
			metrics["sum"].SetEmptySum().SetIsMonotonic(true)
			metrics["histogram"].SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
			metrics["exponential"].SetEmptyExponentialHistogram()
			metrics["summary"].SetEmptySummary()
			for i := range 3 {
				id := fmt.Sprint(r, s, i)
				gauge := metrics["gauge"].Gauge().DataPoints().AppendEmpty()
				gauge.SetIntValue(int64(i))
				gauge.Attributes().PutStr("id", id)
				gauge.Exemplars().AppendEmpty().FilteredAttributes().PutStr("e", id)
				metrics["sum"].Sum().DataPoints().AppendEmpty().SetDoubleValue(1)
				histogram := metrics["histogram"].Histogram().DataPoints().AppendEmpty()
				histogram.BucketCounts().FromRaw([]uint64{1, 2, 3})
				histogram.ExplicitBounds().FromRaw([]float64{1, 2})
				metrics["exponential"].ExponentialHistogram().DataPoints().AppendEmpty().Positive().BucketCounts().FromRaw([]uint64{4, 5})
				metrics["summary"].Summary().DataPoints().AppendEmpty().QuantileValues().AppendEmpty().SetQuantile(0.5)
			}
		}
	}
	marshal := func(body []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	return map[ledger.Signal][]byte{
		ledger.Traces:  marshal(new(ptrace.ProtoMarshaler).MarshalTraces(td)),
		ledger.Logs:    marshal(new(plog.ProtoMarshaler).MarshalLogs(ld)),
		ledger.Metrics: marshal(new(pmetric.ProtoMarshaler).MarshalMetrics(md)),
	}
}

// flatten decodes a request and returns each item with everything around it, in order,
// so that a request and its pieces can be compared.
func flatten(t testing.TB, signal ledger.Signal, request []byte) (items []string) {
	t.Helper()
	_, err := Cut(signal, request, Limits{Items: 1}, func(piece []byte, n int) error {
		if n != 1 {
			t.Errorf("a piece has %d items, want 1", n)
		}
		items = append(items, toJSON(t, signal, piece))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// toJSON decodes by pdata, which this package does not use.
func toJSON(t testing.TB, signal ledger.Signal, request []byte) string {
	t.Helper()
	m := newPdata(signal)
	if err := m.UnmarshalProto(request); err != nil {
		t.Fatal(err)
	}
	json, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(json)
}

type pdata interface {
	UnmarshalProto([]byte) error
	MarshalJSON() ([]byte, error)
}

func newPdata(signal ledger.Signal) pdata {
	switch signal {
	case ledger.Metrics:
		return pmetricotlp.NewExportRequest()
	case ledger.Logs:
		return plogotlp.NewExportRequest()
	}
	return ptraceotlp.NewExportRequest()
}

func unmarshal(signal ledger.Signal, request []byte) error {
	return newPdata(signal).UnmarshalProto(request)
}

func countByPdata(t testing.TB, signal ledger.Signal, request []byte) int {
	t.Helper()
	switch signal {
	case ledger.Traces:
		td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(request)
		if err != nil {
			t.Fatal(err)
		}
		return td.SpanCount()
	case ledger.Metrics:
		md, err := new(pmetric.ProtoUnmarshaler).UnmarshalMetrics(request)
		if err != nil {
			t.Fatal(err)
		}
		return md.DataPointCount()
	}
	ld, err := new(plog.ProtoUnmarshaler).UnmarshalLogs(request)
	if err != nil {
		t.Fatal(err)
	}
	return ld.LogRecordCount()
}

// Whatever the limits are, the pieces hold every item once, in order, with its
// resource, scope and metric, and are within the limits.
func TestCut(t *testing.T) {
	limits := map[string]Limits{
		"by items":          {Items: 5},
		"by bytes":          {Bytes: 700},
		"with growth":       {Bytes: 3000, Growth: 1200}, // of two resources at most
		"by all":            {Items: 9, Bytes: 900, Growth: 50},
		"none":              {},
		"one item a piece":  {Items: 1},
		"two items a piece": {Items: 2, Bytes: 10_000},
		"in shares":         {Items: 9, Bytes: 2800, Share: 4},
	}
	for signal, request := range samples(t) {
		want := flatten(t, signal, request)
		all, _ := Scan(signal, request)
		if len(want) != all.Items {
			t.Fatalf("%s: %d pieces of one item, want %d", signal, len(want), all.Items)
		}
		for name, l := range limits {
			t.Run(signal.String()+"/"+name, func(t *testing.T) {
				var got []string
				oversize, err := Cut(signal, request, l, func(piece []byte, items int) error {
					sum, err := Scan(signal, piece)
					if share := max(1, l.Share); l.Share > 0 && items > 1 && len(piece) > l.Bytes/share {
						t.Errorf("a piece of %d bytes and %d items is larger than its share", len(piece), items)
					}
					if l.Growth > 0 && len(piece)+sum.Resources*l.Growth > l.Bytes {
						t.Errorf("a piece of %d bytes and %d resources may grow to more than %d", len(piece), sum.Resources, l.Bytes)
					}
					if err != nil || !l.Allow(len(piece), sum) || sum.Items != items {
						t.Errorf("a piece of %d bytes, %d items: %+v, %v; the limits are %+v", len(piece), items, sum, err, l)
					}
					got = append(got, flatten(t, signal, piece)...)
					return nil
				})
				if oversize != 0 || err != nil {
					t.Errorf("left out %d, %v", oversize, err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("items (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// What is around the items counts: the resources' own bytes, and what each of them, and
// nothing else, may grow by.
func TestCut_CountsWhatIsAround(t *testing.T) {
	resource := lengthDelimited(1, lengthDelimited(1, bytes.Repeat([]byte("k"), 300)))
	span := lengthDelimited(2, lengthDelimited(2, lengthDelimited(5, []byte("a"))))
	one := lengthDelimited(1, append(bytes.Clone(resource), bytes.Repeat(span, 3)...)) // three scopes
	for name, c := range map[string]struct {
		limits  Limits
		request []byte
		pieces  int
	}{
		"three scopes of one resource that may grow": {Limits{Bytes: 900, Growth: 400}, one, 1},
		"three resources of which two fit":           {Limits{Bytes: 900}, bytes.Repeat(one, 3), 2},
		"items of a resource that grows by more than a share": {
			Limits{Bytes: 4000, Growth: 1500, Share: 4}, lengthDelimited(1, bytes.Repeat(span, 50)), 1,
		},
		"two resources of which one may grow": {Limits{Bytes: 1100, Growth: 400}, bytes.Repeat(one, 2), 2},
	} {
		pieces, items := 0, 0
		oversize, err := Cut(ledger.Traces, c.request, c.limits, func(piece []byte, n int) error {
			sum, _ := Scan(ledger.Traces, piece)
			if size := len(piece) + sum.Resources*c.limits.Growth; size > c.limits.Bytes {
				t.Errorf("%s: a piece of %d bytes may grow to %d, the limit is %d", name, len(piece), size, c.limits.Bytes)
			}
			pieces, items = pieces+1, items+n
			return nil
		})
		if want := bytes.Count(c.request, []byte("\x2a\x01a")); err != nil || oversize != 0 || items != want || pieces != c.pieces {
			t.Errorf("%s: %d items of %d in %d pieces, want %d; %d left out, %v", name, items, want, pieces, c.pieces, oversize, err)
		}
	}
}

// What is around small items goes with each piece: the pieces must not be many times what
// was sent.
func TestCut_BoundsWhatIsRepeated(t *testing.T) {
	for _, around := range []int{100, 1_000, 1_300, 3_000, 4_900} {
		resource := lengthDelimited(1, lengthDelimited(1, bytes.Repeat([]byte("k"), around)))
		request := lengthDelimited(1, append(resource, lengthDelimited(2, bytes.Repeat([]byte{0x12, 0}, 20_000))...))
		for _, limits := range []Limits{{Bytes: 10_000}, {Bytes: 10_000, Share: 4}, {Bytes: 10_000, Share: 4, Growth: 100}} {
			yielded, items := 0, 0
			oversize, err := Cut(ledger.Traces, request, limits, func(piece []byte, n int) error {
				yielded, items = yielded+len(piece), items+n
				return nil
			})
			if err != nil || oversize != 0 || items != 20_000 || yielded > 3*len(request) {
				t.Errorf("%d bytes around the items, limits %+v: %d items in pieces of %d bytes, the request has %d; left out %d, %v", around, limits, items, yielded, len(request), oversize, err)
			}
		}
	}
}

// An error of yield ends the cut, wherever it is.
func TestCut_EndsWithYield(t *testing.T) {
	for signal, request := range samples(t) {
		all, _ := Scan(signal, request)
		for last := 1; last <= all.Items; last++ {
			calls, want := 0, errors.New("enough")
			_, err := Cut(signal, request, Limits{Items: 1}, func([]byte, int) error {
				if calls++; calls == last {
					return want
				}
				return nil
			})
			if !errors.Is(err, want) || calls != last {
				t.Fatalf("%s: error %d ends the cut after %d calls with %v", signal, last, calls, err)
			}
		}
	}
}

func TestCut_LeavesOutOversize(t *testing.T) {
	large, small := lengthDelimited(2, lengthDelimited(5, bytes.Repeat([]byte{'x'}, 500))), lengthDelimited(2, lengthDelimited(5, []byte("small")))
	resource := func(content ...byte) []byte {
		return lengthDelimited(1, append(lengthDelimited(1, content), lengthDelimited(2, bytes.Join([][]byte{small, large, small}, nil))...))
	}
	cases := map[string]struct {
		limits   Limits
		request  []byte
		oversize int
		items    int
	}{
		"an item beyond the bytes of an item":     {Limits{ItemBytes: 400}, resource(), 1, 2},
		"an item beyond the bytes of a request":   {Limits{Bytes: 400}, resource(), 1, 2},
		"an item that growth leaves no room for":  {Limits{Bytes: 600, Growth: 100}, resource(), 1, 2},
		"a resource that leaves no room":          {Limits{Bytes: 1000}, resource(bytes.Repeat(lengthDelimited(1, nil), 300)...), 3, 0},
		"two large items that are small together": {Limits{ItemBytes: 400, Bytes: 10_000}, append(resource(), resource()...), 2, 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			items := 0
			oversize, err := Cut(ledger.Traces, c.request, c.limits, func(_ []byte, n int) error { items += n; return nil })
			if err != nil || oversize != c.oversize || items != c.items {
				t.Errorf("left out %d, kept %d, %v; want %d and %d", oversize, items, err, c.oversize, c.items)
			}
		})
	}
}

func TestRepair(t *testing.T) {
	for signal, request := range samples(t) {
		t.Run(signal.String(), func(t *testing.T) {
			if !bytes.Equal(Repair(signal, request), request) {
				t.Error("a request without invalid text is changed")
			}
			broken := bytes.ReplaceAll(request, []byte("scope"), []byte("sc\xffpe"))
			broken = bytes.ReplaceAll(broken, []byte("record"), []byte("r\xc3c\xf0rd"))
			broken = bytes.ReplaceAll(broken, []byte("gauge"), []byte("g\xa0uge"))
			if sum, err := Scan(signal, broken); err != nil || !sum.InvalidText {
				t.Fatalf("invalid text is not found: %+v, %v", sum, err)
			}
			repaired := Repair(signal, broken)
			sum, err := Scan(signal, repaired)
			if err != nil || sum.InvalidText || sum.Items != countByPdata(t, signal, request) {
				t.Errorf("after the repair: %+v, %v", sum, err)
			}
			if !utf8.ValidString(toJSON(t, signal, repaired)) {
				t.Error("pdata finds invalid text")
			}
		})
	}
}

// Whatever a sender sends: no panic, and what Scan accepts pdata decodes, and Cut, Repair
// and Complete take.
func FuzzScan(f *testing.F) {
	for signal, request := range samples(f) {
		f.Add(int(signal), request, 10)
	}
	attributes := NewAttributes([]Attribute{{"r", "1"}, {"service.name", "cart"}})
	f.Add(0, nested(200, nil), 1)
	f.Add(0, []byte("\x0a\x04\x12\x02\x12\x00"), 1)
	f.Fuzz(func(t *testing.T, signal int, request []byte, items int) {
		s := ledger.Signal(uint(signal) % 3)
		sum, err := Scan(s, request)
		if err != nil {
			return
		}
		if err := unmarshal(s, request); err != nil {
			t.Errorf("pdata refuses what Scan accepts: %v", err)
		}
		kept := 0
		oversize, err := Cut(s, request, Limits{Items: items, Bytes: 1000, Growth: 10}, func(piece []byte, n int) error {
			got, err := Scan(s, piece)
			if err != nil || got.Items != n {
				t.Errorf("a piece of %d items is scanned as %+v, %v", n, got, err)
			}
			kept += n
			return nil
		})
		if err != nil || items > 0 && oversize+kept != sum.Items {
			t.Errorf("kept %d, left out %d of %d: %v", kept, oversize, sum.Items, err)
		}
		if again, err := Scan(s, Repair(s, request)); err != nil || again.InvalidText || again.Items != sum.Items {
			t.Errorf("after the repair: %+v, %v; before: %+v", again, err, sum)
		}
		completed := attributes.Complete(nil, request)
		if again, err := Scan(s, completed); err != nil || again.Items != sum.Items || again.Resources != sum.Resources || len(completed) > len(request)+sum.Resources*attributes.Growth() {
			t.Errorf("completed: %+v, %v, %d bytes; before: %+v, %d bytes", again, err, len(completed), sum, len(request))
		}
	})
}
