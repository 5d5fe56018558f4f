// Package identity adds to each resource the attributes that say whose pod it
// is, where the application did not say so itself. It replaces nothing but the
// SDKs' placeholder for a service without a name.
package resource

import (
	"context"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
)

// Config is what the processor is told.
type Config struct {
	Attributes []Attribute `mapstructure:"attributes"`
}

// Attribute is one that a resource is given. A list, because a configuration's
// map would take the dots of a key apart.
type Attribute struct {
	Key   string `mapstructure:"key"`
	Value string `mapstructure:"value"`
}

// Type is the processor's name in a configuration.
var Type = component.MustNewType("identity")

// NewFactory makes the processors.
func NewFactory() processor.Factory {
	return processor.NewFactory(Type, func() component.Config { return &Config{} },
		processor.WithTraces(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Traces) (processor.Traces, error) {
			return traces{identity: identity{attributes: cfg.(*Config).Attributes}, next: next}, nil
		}, component.StabilityLevelStable),
		processor.WithMetrics(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
			return metrics{identity: identity{attributes: cfg.(*Config).Attributes}, next: next}, nil
		}, component.StabilityLevelStable),
		processor.WithLogs(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
			return logs{identity: identity{attributes: cfg.(*Config).Attributes}, next: next}, nil
		}, component.StabilityLevelStable),
	)
}

type identity struct {
	component.StartFunc
	component.ShutdownFunc
	attributes []Attribute
}

func (identity) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

// complete adds what the resource lacks.
func (i identity) complete(resource pcommon.Map) {
	for _, a := range i.attributes {
		if present, ok := resource.Get(a.Key); !ok || isPlaceholder(a.Key, present) {
			resource.PutStr(a.Key, a.Value)
		}
	}
}

// isPlaceholder tells the name that SDKs give a service without one
// (OpenTelemetry semantic conventions, "Service").
func isPlaceholder(key string, value pcommon.Value) bool {
	return key == "service.name" && strings.HasPrefix(value.AsString(), "unknown_service")
}

type traces struct {
	identity
	next consumer.Traces
}

func (p traces) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	for _, r := range td.ResourceSpans().All() {
		p.complete(r.Resource().Attributes())
	}
	return p.next.ConsumeTraces(ctx, td)
}

type metrics struct {
	identity
	next consumer.Metrics
}

func (p metrics) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	for _, r := range md.ResourceMetrics().All() {
		p.complete(r.Resource().Attributes())
	}
	return p.next.ConsumeMetrics(ctx, md)
}

type logs struct {
	identity
	next consumer.Logs
}

func (p logs) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	for _, r := range ld.ResourceLogs().All() {
		p.complete(r.Resource().Attributes())
	}
	return p.next.ConsumeLogs(ctx, ld)
}
