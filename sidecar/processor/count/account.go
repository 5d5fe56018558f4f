// Package account is the first processor of every pipeline: it counts what the
// rest of the pipeline takes and what it refuses. It changes nothing.
package count

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"

	"github.com/nova/novawire/sidecar/ledger"
)

// Type is the processor's name in a configuration.
var Type = component.MustNewType("account")

// NewFactory makes processors that write to the ledger.
func NewFactory(book *ledger.Ledger) processor.Factory {
	of := func(signal ledger.Signal) account { return account{Account: book.Of(signal)} }
	return processor.NewFactory(Type, func() component.Config { return &struct{}{} },
		processor.WithTraces(func(_ context.Context, _ processor.Settings, _ component.Config, next consumer.Traces) (processor.Traces, error) {
			return traces{of(ledger.Traces), next}, nil
		}, component.StabilityLevelStable),
		processor.WithMetrics(func(_ context.Context, _ processor.Settings, _ component.Config, next consumer.Metrics) (processor.Metrics, error) {
			return metrics{of(ledger.Metrics), next}, nil
		}, component.StabilityLevelStable),
		processor.WithLogs(func(_ context.Context, _ processor.Settings, _ component.Config, next consumer.Logs) (processor.Logs, error) {
			return logs{of(ledger.Logs), next}, nil
		}, component.StabilityLevelStable),
	)
}

// account is the part that all signals share.
type account struct {
	*ledger.Account
	component.StartFunc
	component.ShutdownFunc
}

func (account) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// book counts items by what became of them, and returns that. The memory limiter
// keeps its error to itself; it is the one that the sender may try again after.
func (a account) book(items int, err error) error {
	switch {
	case err == nil:
		a.Accept(items)
	case consumererror.IsPermanent(err):
		a.Refuse(ledger.Failure, items)
	default:
		a.Refuse(ledger.Memory, items)
	}
	return err
}

// Items are counted before they are handed on: what comes after may change them.
type traces struct {
	account
	next consumer.Traces
}

func (p traces) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	items := td.SpanCount()
	return p.book(items, p.next.ConsumeTraces(ctx, td))
}

type metrics struct {
	account
	next consumer.Metrics
}

func (p metrics) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	items := md.DataPointCount()
	return p.book(items, p.next.ConsumeMetrics(ctx, md))
}

type logs struct {
	account
	next consumer.Logs
}

func (p logs) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	items := ld.LogRecordCount()
	return p.book(items, p.next.ConsumeLogs(ctx, ld))
}
