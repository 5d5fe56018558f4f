package exporter

import (
	"context"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

type metrics struct{ *lane }

func (metrics) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (t metrics) ConsumeMetrics(_ context.Context, md pmetric.Metrics) error {
	return enqueue(t.lane, points(md))
}

type points pmetric.Metrics

func (p points) count() int { return pmetric.Metrics(p).DataPointCount() }

func (p points) encode() ([]byte, error) {
	return new(pmetric.ProtoMarshaler).MarshalMetrics(pmetric.Metrics(p))
}

// halve cuts between data points: a metric may come apart, its description goes
// with both parts.
func (p points) halve() (points, points) {
	left, first := p.count()/2, pmetric.NewMetrics()
	pmetric.Metrics(p).ResourceMetrics().RemoveIf(func(from pmetric.ResourceMetrics) bool {
		if left == 0 {
			return false
		}
		to := first.ResourceMetrics().AppendEmpty()
		from.Resource().CopyTo(to.Resource())
		to.SetSchemaUrl(from.SchemaUrl())
		from.ScopeMetrics().RemoveIf(func(from pmetric.ScopeMetrics) bool {
			if left == 0 {
				return false
			}
			to := to.ScopeMetrics().AppendEmpty()
			from.Scope().CopyTo(to.Scope())
			to.SetSchemaUrl(from.SchemaUrl())
			from.Metrics().RemoveIf(func(from pmetric.Metric) bool {
				if left == 0 {
					return false
				}
				return moveMetric(from, to.Metrics().AppendEmpty(), &left)
			})
			return from.Metrics().Len() == 0
		})
		return from.ScopeMetrics().Len() == 0
	})
	return points(first), p
}

// moveMetric moves up to left data points and tells whether none remain.
func moveMetric(from, to pmetric.Metric, left *int) (all bool) {
	to.SetName(from.Name())
	to.SetDescription(from.Description())
	to.SetUnit(from.Unit())
	from.Metadata().CopyTo(to.Metadata())
	switch from.Type() {
	case pmetric.MetricTypeGauge:
		return movePoints(from.Gauge().DataPoints(), to.SetEmptyGauge().DataPoints(), left)
	case pmetric.MetricTypeSum:
		sum := to.SetEmptySum()
		sum.SetAggregationTemporality(from.Sum().AggregationTemporality())
		sum.SetIsMonotonic(from.Sum().IsMonotonic())
		return movePoints(from.Sum().DataPoints(), sum.DataPoints(), left)
	case pmetric.MetricTypeHistogram:
		to.SetEmptyHistogram().SetAggregationTemporality(from.Histogram().AggregationTemporality())
		return movePoints(from.Histogram().DataPoints(), to.Histogram().DataPoints(), left)
	case pmetric.MetricTypeExponentialHistogram:
		to.SetEmptyExponentialHistogram().SetAggregationTemporality(from.ExponentialHistogram().AggregationTemporality())
		return movePoints(from.ExponentialHistogram().DataPoints(), to.ExponentialHistogram().DataPoints(), left)
	case pmetric.MetricTypeSummary:
		return movePoints(from.Summary().DataPoints(), to.SetEmptySummary().DataPoints(), left)
	}
	return true // a metric without data points
}

type movable[P any] interface{ MoveTo(P) }

type pointSlice[P any] interface {
	Len() int
	RemoveIf(func(P) bool)
	AppendEmpty() P
}

func movePoints[P movable[P]](from, to pointSlice[P], left *int) (all bool) {
	from.RemoveIf(func(p P) bool {
		if *left == 0 {
			return false
		}
		*left--
		p.MoveTo(to.AppendEmpty())
		return true
	})
	return from.Len() == 0
}
