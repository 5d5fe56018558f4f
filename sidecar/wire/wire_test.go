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
	"google.golang.org/protobuf/encoding/protowire"

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
	var m interface {
		UnmarshalProto([]byte) error
		MarshalJSON() ([]byte, error)
	}
	switch signal {
	case ledger.Traces:
		m = ptraceotlp.NewExportRequest()
	case ledger.Metrics:
		m = pmetricotlp.NewExportRequest()
	case ledger.Logs:
		m = plogotlp.NewExportRequest()
	}
	if err := m.UnmarshalProto(request); err != nil {
		t.Fatal(err)
	}
	json, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(json)
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

func TestScan(t *testing.T) {
	for signal, request := range samples(t) {
		t.Run(signal.String(), func(t *testing.T) {
			sum, err := Scan(signal, request)
			if err != nil {
				t.Fatal(err)
			}
			if want := countByPdata(t, signal, request); sum.Items != want {
				t.Errorf("counts %d items, pdata %d", sum.Items, want)
			}
			if sum.InvalidText || sum.Memory < len(request) || sum.LargestItem == 0 {
				t.Errorf("got %+v for %d bytes", sum, len(request))
			}
		})
	}
}

// nested is a span whose attribute holds lists in lists.
func nested(depth int) []byte {
	value := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "x") // AnyValue.string_value
	for range depth {
		list := lengthDelimited(1, value) // ArrayValue.values
		value = lengthDelimited(5, list)  // AnyValue.array_value
	}
	attribute := append(lengthDelimited(1, []byte("key")), lengthDelimited(2, value)...)
	return lengthDelimited(1, lengthDelimited(2, lengthDelimited(2, lengthDelimited(9, attribute))))
}

func lengthDelimited(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func TestScan_Refuses(t *testing.T) {
	cases := map[string]struct {
		request []byte
		want    error
	}{
		"a value nested as deep as is allowed": {nested(46), nil},
		"a value nested deeper":                {nested(50), ErrTooDeep},
		"a tag that breaks off":                {[]byte{0x80}, ErrMalformed},
		"a length beyond the end":              {[]byte{0x0a, 0x05, 0}, ErrMalformed},
		"a field number of zero":               {[]byte{0x02, 0x00}, ErrMalformed},
		"a message that breaks off inside":     {lengthDelimited(1, []byte{0x12, 0x7f}), ErrMalformed},
		"an unknown field":                     {lengthDelimited(99, []byte("x")), nil},
		"nothing":                              {nil, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Scan(ledger.Traces, c.request); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Whatever the limits are, the pieces hold every item once, in order, with its
// resource, scope and metric, and are within the limits.
func TestCut(t *testing.T) {
	limits := map[string]Limits{
		"by items":          {Items: 5},
		"by bytes":          {Bytes: 700},
		"by memory":         {Memory: 4000},
		"by all":            {Items: 9, Bytes: 900, Memory: 6000},
		"none":              {},
		"one item a piece":  {Items: 1},
		"two items a piece": {Items: 2, Bytes: 10_000},
		"in shares":         {Items: 9, Bytes: 2800, Memory: 20_000, Share: 4},
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
					if share := max(1, l.Share); l.Share > 0 && items > 1 && (len(piece) > l.Bytes/share || sum.Memory > l.Memory/share) {
						t.Errorf("a piece of %d bytes and %d items is larger than its share", len(piece), items)
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
		"an item beyond the memory":               {Limits{Memory: 1300}, resource(), 1, 2},
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

// Whatever a sender sends: no panic, and what Scan accepts, Cut and Repair take.
func FuzzScan(f *testing.F) {
	for signal, request := range samples(f) {
		f.Add(int(signal), request, 10)
	}
	f.Add(0, nested(200), 1)
	f.Add(0, []byte("\x0a\x04\x12\x02\x12\x00"), 1)
	f.Fuzz(func(t *testing.T, signal int, request []byte, items int) {
		s := ledger.Signal(uint(signal) % 3)
		sum, err := Scan(s, request)
		if err != nil {
			return
		}
		kept := 0
		oversize, err := Cut(s, request, Limits{Items: items, Bytes: 1000, Memory: 1 << 20}, func(piece []byte, n int) error {
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
	})
}

func BenchmarkScan(b *testing.B) {
	request := samples(b)[ledger.Traces]
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if _, err := Scan(ledger.Traces, request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeByPdata(b *testing.B) {
	request := samples(b)[ledger.Traces]
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if err := ptraceotlp.NewExportRequest().UnmarshalProto(request); err != nil {
			b.Fatal(err)
		}
	}
}
