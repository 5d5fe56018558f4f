package exporter

import (
	"bytes"
	"context"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/nova/novawire/sidecar/wire"
)

type traces struct{ *signalExporter }

func (t traces) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	body, err := new(ptrace.ProtoMarshaler).MarshalTraces(td)
	return t.enqueue(body, td.SpanCount(), err)
}

type metrics struct{ *signalExporter }

func (m metrics) ConsumeMetrics(_ context.Context, md pmetric.Metrics) error {
	body, err := new(pmetric.ProtoMarshaler).MarshalMetrics(md)
	return m.enqueue(body, md.DataPointCount(), err)
}

type logs struct{ *signalExporter }

func (l logs) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	body, err := new(plog.ProtoMarshaler).MarshalLogs(ld)
	return l.enqueue(body, ld.LogRecordCount(), err)
}

// Capabilities says that the exporter leaves what it is given as it is.
func (*signalExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// enqueue queues an encoded request, in pieces where one batch must not hold it.
func (e *signalExporter) enqueue(body []byte, items int, err error) error {
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	if items == 0 {
		return nil
	}
	fits := len(body) <= e.config.Batch.Bytes && items <= e.config.Batch.Items
	if fits && e.config.Batch.ItemBytes > 0 && len(body) > e.config.Batch.ItemBytes {
		sum, err := wire.Scan(e.signal, body)
		fits = err == nil && e.config.Batch.Allow(len(body), sum)
	}
	if fits {
		e.push(item{body: body, count: items, since: time.Now()})
		return nil
	}
	oversize, err := wire.Cut(e.signal, body, e.config.Batch, func(piece []byte, items int) error {
		e.push(item{body: bytes.Clone(piece), count: items, since: time.Now()})
		return nil
	})
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	if oversize > 0 {
		e.dropOversize(oversize)
	}
	return nil
}
