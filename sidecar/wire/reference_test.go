package wire

import (
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/nova/novawire/sidecar/ledger"
)

// reference is what a program makes of a request that it decodes, changes and encodes.
type reference struct {
	count     int
	plain     string   // the request, in JSON
	items     []string // each with its resource, scope and metric
	completed string   // with the attributes
}

// refer decodes by pdata, which this package does not use.
func refer(t *testing.T, signal ledger.Signal, request []byte, attributes []Attribute) (r reference) {
	t.Helper()
	m := newPdata(signal)
	if err := m.UnmarshalProto(request); err != nil {
		t.Fatal(err)
	}
	r.plain = mustJSON(t, m)
	resources := func(pcommon.Resource) {}
	if attributes != nil {
		resources = func(resource pcommon.Resource) { complete(resource.Attributes(), attributes) }
	}
	switch m := m.(type) {
	case ptraceotlp.ExportRequest:
		r.count, r.items = m.Traces().SpanCount(), spansOf(t, m)
		for _, of := range m.Traces().ResourceSpans().All() {
			resources(of.Resource())
		}
	case plogotlp.ExportRequest:
		r.count, r.items = m.Logs().LogRecordCount(), recordsOf(t, m)
		for _, of := range m.Logs().ResourceLogs().All() {
			resources(of.Resource())
		}
	case pmetricotlp.ExportRequest:
		r.count, r.items = m.Metrics().DataPointCount(), pointsOf(t, m)
		for _, of := range m.Metrics().ResourceMetrics().All() {
			resources(of.Resource())
		}
	}
	r.completed = mustJSON(t, m)
	return r
}

func mustJSON(t *testing.T, m pdata) string {
	t.Helper()
	json, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(json)
}

// complete is the rule of docs/sidecar.md.
func complete(resource pcommon.Map, attributes []Attribute) {
	var missing []Attribute
	for _, a := range attributes {
		resource.RemoveIf(func(key string, v pcommon.Value) bool {
			return key == a.Key && a.Key == "service.name" && v.Type() == pcommon.ValueTypeStr && strings.HasPrefix(v.Str(), "unknown_service")
		})
		if _, has := resource.Get(a.Key); !has {
			missing = append(missing, a)
		}
	}
	for _, a := range missing {
		resource.PutStr(a.Key, a.Value)
	}
}

func spansOf(t *testing.T, m ptraceotlp.ExportRequest) (items []string) {
	t.Helper()
	for _, r := range m.Traces().ResourceSpans().All() {
		for _, s := range r.ScopeSpans().All() {
			for _, span := range s.Spans().All() {
				alone := ptraceotlp.NewExportRequest()
				resource := alone.Traces().ResourceSpans().AppendEmpty()
				r.Resource().CopyTo(resource.Resource())
				resource.SetSchemaUrl(r.SchemaUrl())
				scope := resource.ScopeSpans().AppendEmpty()
				s.Scope().CopyTo(scope.Scope())
				scope.SetSchemaUrl(s.SchemaUrl())
				span.CopyTo(scope.Spans().AppendEmpty())
				items = append(items, mustJSON(t, alone))
			}
		}
	}
	return items
}

func recordsOf(t *testing.T, m plogotlp.ExportRequest) (items []string) {
	t.Helper()
	for _, r := range m.Logs().ResourceLogs().All() {
		for _, s := range r.ScopeLogs().All() {
			for _, record := range s.LogRecords().All() {
				alone := plogotlp.NewExportRequest()
				resource := alone.Logs().ResourceLogs().AppendEmpty()
				r.Resource().CopyTo(resource.Resource())
				resource.SetSchemaUrl(r.SchemaUrl())
				scope := resource.ScopeLogs().AppendEmpty()
				s.Scope().CopyTo(scope.Scope())
				scope.SetSchemaUrl(s.SchemaUrl())
				record.CopyTo(scope.LogRecords().AppendEmpty())
				items = append(items, mustJSON(t, alone))
			}
		}
	}
	return items
}

func pointsOf(t *testing.T, m pmetricotlp.ExportRequest) (items []string) {
	t.Helper()
	for _, r := range m.Metrics().ResourceMetrics().All() {
		for _, s := range r.ScopeMetrics().All() {
			for _, metric := range s.Metrics().All() {
				for point, points := 0, 1; point < points; point++ {
					alone := pmetricotlp.NewExportRequest()
					resource := alone.Metrics().ResourceMetrics().AppendEmpty()
					r.Resource().CopyTo(resource.Resource())
					resource.SetSchemaUrl(r.SchemaUrl())
					scope := resource.ScopeMetrics().AppendEmpty()
					s.Scope().CopyTo(scope.Scope())
					scope.SetSchemaUrl(s.SchemaUrl())
					metric.CopyTo(scope.Metrics().AppendEmpty())
					if points = keepPoint(scope.Metrics().At(0), point); points > 0 {
						items = append(items, mustJSON(t, alone))
					}
				}
			}
		}
	}
	return items
}

// keepPoint leaves a metric one of its points, and returns how many it had.
func keepPoint(m pmetric.Metric, keep int) (points int) {
	others := func() bool { points++; return points-1 != keep }
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return others() })
	case pmetric.MetricTypeSum:
		m.Sum().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return others() })
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(pmetric.HistogramDataPoint) bool { return others() })
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(pmetric.ExponentialHistogramDataPoint) bool { return others() })
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(pmetric.SummaryDataPoint) bool { return others() })
	case pmetric.MetricTypeEmpty:
	}
	return points
}
