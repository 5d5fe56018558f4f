package spanmetrics

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
)

func newMetrics(limit int) *Metrics {
	m := NewMetrics(Config{Enabled: true, SeriesLimit: limit, PodUID: "uid-1", PodName: "cart-1"}, zap.NewNop())
	m.clock = func() time.Time { return epoch.Add(time.Hour) }
	return m
}

// observe observes a request in which nothing is redacted.
func observe(m *Metrics, request []byte) { m.Observe(request, m.config.Foreign(request)) }

// span is one of a test: its attributes are texts, integers or booleans.
type span struct {
	kind       ptrace.SpanKind
	attributes map[string]any
	failed     bool
	state      string
	took       time.Duration
}

var epoch = time.Unix(1_800_000_000, 0)

func requestOf(t testing.TB, resource map[string]any, spans ...span) []byte {
	t.Helper()
	td := ptrace.NewTraces()
	r := td.ResourceSpans().AppendEmpty()
	if err := r.Resource().Attributes().FromRaw(resource); err != nil {
		t.Fatal(err)
	}
	scope := r.ScopeSpans().AppendEmpty()
	for i, s := range spans {
		one := scope.Spans().AppendEmpty()
		one.SetTraceID(pcommon.TraceID{0: 1, 15: byte(i)})
		one.SetSpanID(pcommon.SpanID{0: 2, 7: byte(i)})
		one.SetKind(s.kind)
		one.TraceState().FromRaw(s.state)
		one.SetStartTimestamp(pcommon.NewTimestampFromTime(epoch))
		one.SetEndTimestamp(pcommon.NewTimestampFromTime(epoch.Add(s.took)))
		if s.failed {
			one.Status().SetCode(ptrace.StatusCodeError)
		}
		if err := one.Attributes().FromRaw(s.attributes); err != nil {
			t.Fatal(err)
		}
	}
	return marshal(t, td)
}

func marshal(t testing.TB, td ptrace.Traces) []byte {
	t.Helper()
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var cart = map[string]any{"service.name": "cart"}

// exposition is the metrics as Prometheus' parser reads the text format.
type exposition map[string]*dto.MetricFamily

func exposed(t testing.TB, m *Metrics) exposition {
	t.Helper()
	var text bytes.Buffer
	m.WriteMetrics(&text, false)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	return families
}

// histograms returns a number of each histogram, by its name and labels.
func (e exposition) histograms(number func(*dto.Histogram) float64) map[string]float64 {
	all := map[string]float64{}
	for name, f := range e {
		for _, one := range f.GetMetric() {
			if h := one.GetHistogram(); h != nil {
				all[name+"{"+strings.Join(labelsOf(one), ",")+"}"] = number(h)
			}
		}
	}
	return all
}

// counts returns how many requests each histogram has.
func (e exposition) counts() map[string]float64 {
	return e.histograms(func(h *dto.Histogram) float64 { return h.GetSampleCountFloat() + float64(h.GetSampleCount()) })
}

// labelsOf returns the labels in order, without the one that all have.
func labelsOf(one *dto.Metric) (list []string) {
	for _, l := range one.GetLabel() {
		if l.GetName() != "source" || l.GetValue() != "spans" {
			list = append(list, l.GetName()+"="+l.GetValue())
		}
	}
	slices.Sort(list)
	return list
}

// value returns the sample of a counter or gauge with a label, or the only one; -1 without
// such a sample.
func (e exposition) value(name string, label ...string) float64 {
	for _, one := range e[name].GetMetric() {
		if slices.Equal(labelsOf(one), label) {
			return one.GetCounter().GetValue() + one.GetGauge().GetValue()
		}
	}
	return -1
}
