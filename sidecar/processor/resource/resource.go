// Package resource adds the pod's attributes to each resource that lacks them. It
// replaces nothing but the SDKs' placeholder for a service without a name.
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
			return traces{attributes: cfg.(*Config).Attributes, next: next}, nil
		}, component.StabilityLevelStable),
		processor.WithMetrics(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
			return metrics{attributes: cfg.(*Config).Attributes, next: next}, nil
		}, component.StabilityLevelStable),
		processor.WithLogs(func(_ context.Context, _ processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
			return logs{attributes: cfg.(*Config).Attributes, next: next}, nil
		}, component.StabilityLevelStable),
	)
}

// attributes are those that each resource gets.
type attributes []Attribute

// complete adds what the resource lacks.
func (a attributes) complete(resource pcommon.Map) {
	for _, attribute := range a {
		if present, ok := resource.Get(attribute.Key); !ok || isPlaceholder(attribute.Key, present) {
			resource.PutStr(attribute.Key, attribute.Value)
		}
	}
}

// isPlaceholder reports whether the value is the name that SDKs give a service without
// one (OpenTelemetry semantic conventions, "Service").
func isPlaceholder(key string, value pcommon.Value) bool {
	return key == "service.name" && strings.HasPrefix(value.AsString(), "unknown_service")
}

// base is what the processors of all signals have in common.
type base struct {
	component.StartFunc
	component.ShutdownFunc
}

func (base) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

type traces struct {
	base
	attributes attributes
	next       consumer.Traces
}

func (p traces) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	for _, r := range td.ResourceSpans().All() {
		p.attributes.complete(r.Resource().Attributes())
	}
	return p.next.ConsumeTraces(ctx, td)
}

type metrics struct {
	base
	attributes attributes
	next       consumer.Metrics
}

func (p metrics) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	for _, r := range md.ResourceMetrics().All() {
		p.attributes.complete(r.Resource().Attributes())
	}
	return p.next.ConsumeMetrics(ctx, md)
}

type logs struct {
	base
	attributes attributes
	next       consumer.Logs
}

func (p logs) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	for _, r := range ld.ResourceLogs().All() {
		p.attributes.complete(r.Resource().Attributes())
	}
	return p.next.ConsumeLogs(ctx, ld)
}
