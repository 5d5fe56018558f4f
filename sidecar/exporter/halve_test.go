package exporter

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func TestHalvesHoldEveryItemOnceAndItsSurroundings(t *testing.T) {
	td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
	for r := range 3 {
		spans, records, metrics := td.ResourceSpans().AppendEmpty(), ld.ResourceLogs().AppendEmpty(), md.ResourceMetrics().AppendEmpty()
		spans.Resource().Attributes().PutInt("r", int64(r))
		for range 2 {
			s, l, m := spans.ScopeSpans().AppendEmpty(), records.ScopeLogs().AppendEmpty(), metrics.ScopeMetrics().AppendEmpty()
			s.Scope().SetName("scope")
			sum, gauge := m.Metrics().AppendEmpty(), m.Metrics().AppendEmpty()
			sum.SetName("sum")
			sum.SetEmptySum().SetIsMonotonic(true)
			gauge.SetEmptyGauge()
			for i := range 7 {
				s.Spans().AppendEmpty().SetName(fmt.Sprint(r, i))
				l.LogRecords().AppendEmpty()
				sum.Sum().DataPoints().AppendEmpty()
				gauge.Gauge().DataPoints().AppendEmpty()
			}
		}
	}
	t.Run("spans", func(t *testing.T) {
		first, second := spans(td).halve()
		halves(t, first.count(), second.count(), 42)
		if r, ok := ptrace.Traces(first).ResourceSpans().At(1).Resource().Attributes().Get("r"); !ok || r.Int() != 1 {
			t.Error("the resource is not with its spans")
		}
		if ptrace.Traces(second).ResourceSpans().At(0).ScopeSpans().At(0).Scope().Name() != "scope" {
			t.Error("the scope is not with its spans")
		}
	})
	t.Run("log records", func(t *testing.T) {
		first, second := records(ld).halve()
		halves(t, first.count(), second.count(), 42)
	})
	t.Run("data points", func(t *testing.T) {
		first, second := points(md).halve()
		halves(t, first.count(), second.count(), 84)
		if m := pmetric.Metrics(second).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0); m.Name() != "sum" || !m.Sum().IsMonotonic() {
			t.Errorf("the metric is %q, monotonic %v", m.Name(), m.Sum().IsMonotonic())
		}
	})
}

func halves(t *testing.T, first, second, all int) {
	t.Helper()
	if first != all/2 || second != all-all/2 {
		t.Errorf("halves of %d are %d and %d", all, first, second)
	}
}
