package spanmetrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/nova/novawire/sidecar/wire"
)

func get(route string) span {
	return span{kind: server, attributes: attributes{"http.request.method": "GET", "http.route": route}, took: 20 * time.Millisecond}
}

func TestMetrics_SeriesLimit(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	m := NewMetrics(Config{SeriesLimit: 3}, zap.New(core))
	for i := range 10 {
		observe(m, requestOf(t, cart, get(fmt.Sprint("/", i))))
		observe(m, requestOf(t, cart, get("/0")))
	}
	observe(m, requestOf(t, cart, span{kind: client, attributes: attributes{"db.system": "redis"}}))
	want := map[string]float64{
		"http_server_request_duration_seconds{http_request_method=GET,http_route=/0,service_name=cart}": 11,
		"http_server_request_duration_seconds{http_request_method=GET,http_route=/1,service_name=cart}": 1,
		"http_server_request_duration_seconds{http_request_method=GET,http_route=/2,service_name=cart}": 1,
		"http_server_request_duration_seconds{otel_metric_overflow=true}":                               7,
		"db_client_operation_duration_seconds{otel_metric_overflow=true}":                               1,
	}
	if diff := cmp.Diff(want, exposed(t, m).counts()); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	for result, n := range map[string]float64{"counted": 13, "overflow": 8} {
		if got := exposed(t, m).value("novawire_sidecar_span_metrics_spans_total", "result="+result); got != n {
			t.Errorf("%s: %v spans, want %v", result, got, n)
		}
	}
	if got := exposed(t, m).value("http_server_requests_total"); got != 20 {
		t.Errorf("the indicator is %v, want all 20: it has no limit", got)
	}
	if logs.Len() != 1 {
		t.Errorf("the limit is logged %d times, want once", logs.Len())
	}
}

func TestMetrics_UnknownProbabilityIsLoggedOnce(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	m := NewMetrics(Config{SeriesLimit: 3}, zap.New(core))
	known := get("/")
	known.state = "ot=th:0"
	observe(m, requestOf(t, cart, known))
	if logs.Len() != 0 {
		t.Errorf("logged for a span of a known probability: %v", logs.All())
	}
	observe(m, requestOf(t, cart, get("/"), get("/")))
	observe(m, requestOf(t, cart, get("/")))
	if logs.Len() != 1 {
		t.Errorf("logged %d times, want once", logs.Len())
	}
}

func TestMetrics_OnlySpansOfThePod(t *testing.T) {
	for name, c := range map[string]struct {
		resource attributes
		own      bool
	}{
		"its uid":                        {attributes{"k8s.pod.uid": "uid-1"}, true},
		"another uid":                    {attributes{"k8s.pod.uid": "uid-2", "k8s.pod.name": "cart-1"}, false},
		"its name":                       {attributes{"k8s.pod.name": "cart-1"}, true},
		"another name":                   {attributes{"k8s.pod.name": "cart-2"}, false},
		"nothing":                        {attributes{}, true},
		"a uid that is no text, no name": {attributes{"k8s.pod.uid": 7}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMetrics(3)
			observe(m, requestOf(t, c.resource, get("/")))
			if got := exposed(t, m).value("http_server_requests_total") == 1; got != c.own {
				t.Errorf("counted: %t, want %t", got, c.own)
			}
			if got := exposed(t, m).value("novawire_sidecar_span_metrics_spans_total", "result=foreign") == 0; got != c.own {
				t.Errorf("counted as foreign: %t, want %t", !got, !c.own)
			}
		})
	}
}

// A request that the pipeline refuses is sent again: its spans count once.
func TestProcessor_CountsWhatIsTaken(t *testing.T) {
	m, refused := newMetrics(3), errors.New("refused")
	var answer error
	var seen []byte
	next, _ := consumer.NewTraces(func(ctx context.Context, _ ptrace.Traces) error {
		seen = wire.FromContext(ctx).Body
		return answer
	})
	factory := NewFactory(Config{}, m)
	set := processor.Settings{}
	set.ID = component.NewID(Type)
	p, err := factory.CreateTraces(t.Context(), set, factory.CreateDefaultConfig(), next)
	if err != nil {
		t.Fatal(err)
	}
	body := requestOf(t, cart, get("/"))
	ctx := wire.NewContext(t.Context(), wire.Request{Body: body, Items: 1})
	answer = refused
	if err := p.ConsumeTraces(ctx, ptrace.NewTraces()); !errors.Is(err, refused) {
		t.Errorf("the refusal is %v", err)
	}
	answer = nil
	if err := p.ConsumeTraces(ctx, ptrace.NewTraces()); err != nil {
		t.Error(err)
	}
	if got := exposed(t, m).value("http_server_requests_total"); got != 1 {
		t.Errorf("%v requests, want 1", got)
	}
	if !bytes.Equal(seen, body) {
		t.Error("the next component gets another request")
	}
}

func TestSeries_Buckets(t *testing.T) {
	m := newMetrics(10)
	for _, took := range []time.Duration{0, 5 * time.Millisecond, 5*time.Millisecond + 1, 10 * time.Second, 11 * time.Second, -time.Second} {
		s := get("/")
		s.took = took
		observe(m, requestOf(t, cart, s))
	}
	h := exposed(t, m)["http_server_request_duration_seconds"].GetMetric()[0].GetHistogram()
	want := map[float64]uint64{0.005: 3, 0.01: 4, 7.5: 4, 10: 5, math.Inf(1): 6}
	for _, b := range h.GetBucket() {
		if n, ok := want[b.GetUpperBound()]; ok && n != b.GetCumulativeCount() {
			t.Errorf("up to %v: %d requests, want %d", b.GetUpperBound(), b.GetCumulativeCount(), n)
		}
		delete(want, b.GetUpperBound())
	}
	if len(want) > 0 {
		t.Errorf("no buckets %v", slices.Collect(maps.Keys(want)))
	}
}

func TestMetrics_ExemplarsAreInOpenMetricsAlone(t *testing.T) {
	m := newMetrics(10)
	slow := get("/")
	slow.took = 80 * time.Millisecond
	observe(m, requestOf(t, cart, get("/"), slow, get("/")))
	var plain, open bytes.Buffer
	m.WriteMetrics(&plain, false)
	m.WriteMetrics(&open, true)
	if strings.Contains(plain.String(), "trace_id") {
		t.Error("the text format has exemplars: Prometheus' parser of it refuses them")
	}
	for _, line := range []string{ // of a bucket the latest
		`le="0.025"} 2 # {trace_id="01000000000000000000000000000002",span_id="0200000000000002"} 0.02 1800000000.020`,
		`le="0.1"} 3 # {trace_id="01000000000000000000000000000001",span_id="0200000000000001"} 0.08 1800000000.080`,
		`le="0.05"} 2` + "\n", "# TYPE http_server_requests counter\n", `http_server_requests_total{source="spans"} 3` + "\n", `le="10.0"} 3` + "\n",
	} {
		if !strings.Contains(open.String(), line) {
			t.Errorf("no %q in:\n%s", line, open.String())
		}
	}
}

// A nonsensical time neither spoils the sum nor keeps its place as an exemplar.
func TestMetrics_NonsensicalTimes(t *testing.T) {
	m := newMetrics(10)
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i, end := range []uint64{math.MaxUint64, uint64(epoch.UnixNano())} {
		s := spans.AppendEmpty()
		s.SetKind(server)
		s.SetTraceID(pcommon.TraceID{15: byte(i + 1)})
		s.SetSpanID(pcommon.SpanID{7: byte(i + 1)})
		s.SetStartTimestamp(1)
		s.SetEndTimestamp(pcommon.Timestamp(end))
		s.Attributes().PutStr("http.request.method", "GET")
	}
	observe(m, marshal(t, td))
	m.clock = func() time.Time { return epoch.Add(2 * time.Hour) }
	late := get("/")
	late.took = time.Hour + time.Minute
	observe(m, requestOf(t, cart, late))
	sum := 0.0
	for _, one := range exposed(t, m)["http_server_request_duration_seconds"].GetMetric() {
		sum += one.GetHistogram().GetSampleSum()
	}
	if want := 2*24*60*60 + late.took.Seconds(); sum != want {
		t.Errorf("the sum is %v, want %v", sum, want)
	}
	var text bytes.Buffer
	m.WriteMetrics(&text, true)
	if want := `} 86400 1800003600.000`; !strings.Contains(text.String(), want) {
		t.Errorf("no exemplar with %q in:\n%s", want, text.String())
	}
	m.clock = func() time.Time { return epoch.Add(3 * time.Hour) }
	spans.At(0).SetTraceID(pcommon.TraceID{0: 0xff})
	spans.At(0).SetEndTimestamp(pcommon.Timestamp(epoch.Add(2 * time.Hour).UnixNano()))
	spans.RemoveIf(func(s ptrace.Span) bool { return s.TraceID()[0] != 0xff })
	observe(m, marshal(t, td))
	text.Reset()
	m.WriteMetrics(&text, true)
	if !strings.Contains(text.String(), `trace_id="ff0`) {
		t.Errorf("the exemplar in the future was not replaced:\n%s", text.String())
	}
}

// Readers and senders do not disturb each other, and nothing is lost between them.
func TestMetrics_Concurrent(t *testing.T) {
	m := newMetrics(5)
	var bodies [][]byte
	for i := range 20 {
		bodies = append(bodies, requestOf(t, cart, get(fmt.Sprint("/", i))))
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, body := range bodies {
				observe(m, body)
			}
		})
		all.Go(func() { m.WriteMetrics(new(bytes.Buffer), true) })
	}
	all.Wait()
	sum := 0.0
	for _, n := range exposed(t, m).counts() {
		sum += n
	}
	if sum != 80 {
		t.Errorf("%v requests, want 80", sum)
	}
}

// The metrics of random spans are those that a program makes of them that decodes them.
func TestMetrics_Differential(t *testing.T) {
	for seed := range uint64(300) {
		g := rand.New(rand.NewPCG(seed, 3))
		limit := []int{2, 1000}[seed%2]
		m := newMetrics(limit)
		ref := &reference{limit: limit, series: map[string]float64{}, sums: map[string]float64{}, indicators: map[string]float64{}, results: map[string]float64{}}
		for range 1 + g.IntN(4) {
			td := randomSpans(g)
			ref.observe(td)
			observe(m, marshal(t, td))
		}
		e, total := exposed(t, m), 0.0
		if diff := cmp.Diff(ref.series, e.counts(), approximately); diff != "" {
			t.Fatalf("seed %d: series (-want +got):\n%s", seed, diff)
		}
		if diff := cmp.Diff(ref.sums, e.histograms((*dto.Histogram).GetSampleSum), approximately); diff != "" {
			t.Fatalf("seed %d: sums (-want +got):\n%s", seed, diff)
		}
		for _, i := range indicators {
			if got := e.value(i.name); math.Abs(got-ref.indicators[i.name]) > 1e-6 {
				t.Fatalf("seed %d: %s is %v, want %v", seed, i.name, got, ref.indicators[i.name])
			}
		}
		for _, result := range results {
			got := e.value("novawire_sidecar_span_metrics_spans_total", "result="+result)
			if total += got; got != ref.results[result] {
				t.Fatalf("seed %d: %s: %v spans, want %v", seed, result, got, ref.results[result])
			}
		}
		if total != ref.spans {
			t.Fatalf("seed %d: %v spans have a result, of %v", seed, total, ref.spans)
		}
	}
}

var approximately = cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(a)) })
