package fakeotlp

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// request is what a receiver keeps of a request of any signal.
type request struct {
	signal   string
	ids      []string
	resource map[string]string
}

func ofTraces(td ptrace.Traces) request {
	q := request{signal: "traces"}
	for _, r := range td.ResourceSpans().All() {
		q.resource = plain(r.Resource().Attributes())
		for _, s := range r.ScopeSpans().All() {
			for _, span := range s.Spans().All() {
				q.ids = append(q.ids, span.SpanID().String())
			}
		}
	}
	return q
}

func ofLogs(ld plog.Logs) request {
	q := request{signal: "logs"}
	for _, r := range ld.ResourceLogs().All() {
		q.resource = plain(r.Resource().Attributes())
		for _, s := range r.ScopeLogs().All() {
			for _, record := range s.LogRecords().All() {
				q.ids = append(q.ids, record.Body().AsString())
			}
		}
	}
	return q
}

func ofMetrics(md pmetric.Metrics) request {
	q := request{signal: "metrics"}
	for _, r := range md.ResourceMetrics().All() {
		q.resource = plain(r.Resource().Attributes())
		for _, s := range r.ScopeMetrics().All() {
			for _, m := range s.Metrics().All() {
				q.ids = append(q.ids, pointIDs(m)...)
			}
		}
	}
	return q
}

func pointIDs(m pmetric.Metric) (ids []string) {
	add := func(attributes pcommon.Map) {
		text := ""
		if id, ok := attributes.Get("id"); ok {
			text = id.AsString()
		}
		ids = append(ids, text)
	}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			add(p.Attributes())
		}
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			add(p.Attributes())
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			add(p.Attributes())
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			add(p.Attributes())
		}
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			add(p.Attributes())
		}
	}
	return ids
}

func plain(m pcommon.Map) map[string]string {
	all := make(map[string]string, m.Len())
	for key, value := range m.All() {
		all[key] = value.AsString()
	}
	return all
}

// take remembers the items, without the first ones, which are rejected.
func (r *Receiver) take(q request, reject int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resource[q.signal] = q.resource
	of := r.taken[q.signal]
	if of == nil {
		of = map[string]int{}
		r.taken[q.signal] = of
	}
	for _, id := range q.ids[min(reject, len(q.ids)):] {
		of[id]++
	}
}
