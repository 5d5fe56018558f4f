package exporter

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// signal is telemetry of one kind that can be sized, encoded and halved.
type signal[T any] interface {
	count() int
	encode() ([]byte, error)
	halve() (first, second T) // by items; only of two or more
}

// enqueue encodes and hands over, in pieces where one request must not hold it.
func enqueue[T signal[T]](l *lane, data T) error {
	items := data.count()
	if items == 0 {
		return nil
	}
	body, err := data.encode()
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	if l.fits(len(body), items) {
		l.push(item{body: body, count: items, since: time.Now()})
		return nil
	}
	if items == 1 {
		l.oversize()
		return nil
	}
	first, second := data.halve()
	if err := enqueue(l, first); err != nil {
		return err
	}
	return enqueue(l, second)
}

type traces struct{ *lane }

func (traces) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (t traces) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	return enqueue(t.lane, spans(td))
}

type spans ptrace.Traces

func (s spans) count() int { return ptrace.Traces(s).SpanCount() }

func (s spans) encode() ([]byte, error) {
	return new(ptrace.ProtoMarshaler).MarshalTraces(ptrace.Traces(s))
}

func (s spans) halve() (spans, spans) {
	left, first := s.count()/2, ptrace.NewTraces()
	ptrace.Traces(s).ResourceSpans().RemoveIf(func(from ptrace.ResourceSpans) bool {
		if left == 0 {
			return false
		}
		to := first.ResourceSpans().AppendEmpty()
		from.Resource().CopyTo(to.Resource())
		to.SetSchemaUrl(from.SchemaUrl())
		from.ScopeSpans().RemoveIf(func(from ptrace.ScopeSpans) bool {
			if left == 0 {
				return false
			}
			to := to.ScopeSpans().AppendEmpty()
			from.Scope().CopyTo(to.Scope())
			to.SetSchemaUrl(from.SchemaUrl())
			from.Spans().RemoveIf(func(span ptrace.Span) bool {
				if left == 0 {
					return false
				}
				left--
				span.MoveTo(to.Spans().AppendEmpty())
				return true
			})
			return from.Spans().Len() == 0
		})
		return from.ScopeSpans().Len() == 0
	})
	return spans(first), s
}

type logs struct{ *lane }

func (logs) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (t logs) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	return enqueue(t.lane, records(ld))
}

type records plog.Logs

func (r records) count() int { return plog.Logs(r).LogRecordCount() }

func (r records) encode() ([]byte, error) { return new(plog.ProtoMarshaler).MarshalLogs(plog.Logs(r)) }

func (r records) halve() (records, records) {
	left, first := r.count()/2, plog.NewLogs()
	plog.Logs(r).ResourceLogs().RemoveIf(func(from plog.ResourceLogs) bool {
		if left == 0 {
			return false
		}
		to := first.ResourceLogs().AppendEmpty()
		from.Resource().CopyTo(to.Resource())
		to.SetSchemaUrl(from.SchemaUrl())
		from.ScopeLogs().RemoveIf(func(from plog.ScopeLogs) bool {
			if left == 0 {
				return false
			}
			to := to.ScopeLogs().AppendEmpty()
			from.Scope().CopyTo(to.Scope())
			to.SetSchemaUrl(from.SchemaUrl())
			from.LogRecords().RemoveIf(func(record plog.LogRecord) bool {
				if left == 0 {
					return false
				}
				left--
				record.MoveTo(to.LogRecords().AppendEmpty())
				return true
			})
			return from.LogRecords().Len() == 0
		})
		return from.ScopeLogs().Len() == 0
	})
	return records(first), r
}
