// Package resource adds the pod's attributes to each resource that lacks them. It
// replaces nothing but the SDKs' placeholder for a service without a name.
package resource

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"

	"github.com/nova/novawire/sidecar/wire"
)

// Config is the processor's part of the collector's configuration.
type Config struct {
	Attributes []Attribute `yaml:"attributes"`
}

// Attribute is one that a resource is given. Its value is the user's own and may be
// anything, so no output shows it.
type Attribute struct {
	Key   string
	Value string
}

// MarshalYAML shows the key alone.
func (a Attribute) MarshalYAML() (any, error) {
	return map[string]string{a.Key: "[redacted]"}, nil
}

// Type is the processor's name in a configuration.
var Type = component.MustNewType("resource")

// NewFactory returns a factory of processors with the given configuration.
func NewFactory(config Config) processor.Factory {
	return processor.NewFactory(Type, func() component.Config { return &config },
		processor.WithTraces(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Traces) (processor.Traces, error) {
			return traces{newCompleter(cfg), next}, nil
		}, component.StabilityLevelStable),
		processor.WithMetrics(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
			return metrics{newCompleter(cfg), next}, nil
		}, component.StabilityLevelStable),
		processor.WithLogs(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
			return logs{newCompleter(cfg), next}, nil
		}, component.StabilityLevelStable),
	)
}

// Growth is by how many bytes a resource grows at most.
func (c Config) Growth() int { return c.wire().Growth() }

func (c Config) wire() *wire.Attributes {
	list := make([]wire.Attribute, len(c.Attributes))
	for i, a := range c.Attributes {
		list[i] = wire.Attribute(a)
	}
	return wire.NewAttributes(list)
}

// completer completes the requests in the contexts.
type completer struct {
	component.StartFunc
	component.ShutdownFunc
	attributes *wire.Attributes
}

func newCompleter(cfg component.Config) completer {
	return completer{attributes: cfg.(*Config).wire()}
}

// Capabilities says that the data in the pipeline stays as it is.
func (completer) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// buffers hold completed requests until the exporter has copied them.
var buffers sync.Pool // of *[]byte

// complete calls next with the completed request.
func (c completer) complete(ctx context.Context, next func(context.Context) error) error {
	buffer, ok := buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	defer buffers.Put(buffer)
	r := wire.FromContext(ctx)
	*buffer = c.attributes.Complete((*buffer)[:0], r.Body)
	r.Body = *buffer
	return next(wire.NewContext(ctx, r))
}

type traces struct {
	completer
	next consumer.Traces
}

func (p traces) ConsumeTraces(ctx context.Context, none ptrace.Traces) error {
	return p.complete(ctx, func(ctx context.Context) error { return p.next.ConsumeTraces(ctx, none) })
}

type metrics struct {
	completer
	next consumer.Metrics
}

func (p metrics) ConsumeMetrics(ctx context.Context, none pmetric.Metrics) error {
	return p.complete(ctx, func(ctx context.Context) error { return p.next.ConsumeMetrics(ctx, none) })
}

type logs struct {
	completer
	next consumer.Logs
}

func (p logs) ConsumeLogs(ctx context.Context, none plog.Logs) error {
	return p.complete(ctx, func(ctx context.Context) error { return p.next.ConsumeLogs(ctx, none) })
}
