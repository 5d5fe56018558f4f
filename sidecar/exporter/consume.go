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

func (t traces) ConsumeTraces(ctx context.Context, _ ptrace.Traces) error {
	return t.enqueue(wire.FromContext(ctx))
}

type metrics struct{ *signalExporter }

func (m metrics) ConsumeMetrics(ctx context.Context, _ pmetric.Metrics) error {
	return m.enqueue(wire.FromContext(ctx))
}

type logs struct{ *signalExporter }

func (l logs) ConsumeLogs(ctx context.Context, _ plog.Logs) error {
	return l.enqueue(wire.FromContext(ctx))
}

// Capabilities says that the exporter leaves what it is given as it is.
func (*signalExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// enqueue queues a request, in pieces where one batch must not hold it.
func (e *signalExporter) enqueue(r wire.Request) error {
	if r.Items == 0 {
		return nil
	}
	limits := e.config.Batch
	whole := len(r.Body) <= limits.Bytes && r.Items <= limits.Items
	if whole && (limits.ItemBytes == 0 || len(r.Body) <= limits.ItemBytes) {
		e.pushCopy(r.Body, r.Items)
		return nil
	}
	sum, err := wire.Scan(e.signal, r.Body)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	if limits.Allow(len(r.Body), sum) {
		e.pushCopy(r.Body, r.Items)
		return nil
	}
	oversize, _ := wire.Cut(e.signal, r.Body, limits, func(piece []byte, items int) error {
		e.pushCopy(piece, items)
		return nil
	})
	if oversize > 0 {
		e.dropOversize(oversize)
	}
	return nil
}

func (e *signalExporter) pushCopy(body []byte, items int) {
	e.push(item{body: bytes.Clone(body), count: items, since: time.Now()})
}
