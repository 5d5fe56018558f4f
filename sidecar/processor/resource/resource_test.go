package resource

import (
	"bytes"
	"context"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"

	"github.com/nova/novawire/sidecar/wire"
)

// The processor of each signal completes the request in the context.
func TestProcessor(t *testing.T) {
	var got wire.Request
	see := func(ctx context.Context) error {
		got = wire.FromContext(ctx)
		got.Body = bytes.Clone(got.Body)
		return nil
	}
	nextTraces, _ := consumer.NewTraces(func(ctx context.Context, _ ptrace.Traces) error { return see(ctx) })
	nextMetrics, _ := consumer.NewMetrics(func(ctx context.Context, _ pmetric.Metrics) error { return see(ctx) })
	nextLogs, _ := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error { return see(ctx) })

	factory := NewFactory(Config{Attributes: []Attribute{{"k8s.pod.name", "cart-1"}}})
	config, set := factory.CreateDefaultConfig(), processor.Settings{}
	set.ID = component.NewID(Type)
	traces, _ := factory.CreateTraces(t.Context(), set, config, nextTraces)
	metrics, _ := factory.CreateMetrics(t.Context(), set, config, nextMetrics)
	logs, _ := factory.CreateLogs(t.Context(), set, config, nextLogs)
	for signal, consume := range map[string]func(context.Context) error{
		"traces":  func(ctx context.Context) error { return traces.ConsumeTraces(ctx, ptrace.NewTraces()) },
		"metrics": func(ctx context.Context) error { return metrics.ConsumeMetrics(ctx, pmetric.NewMetrics()) },
		"logs":    func(ctx context.Context) error { return logs.ConsumeLogs(ctx, plog.NewLogs()) },
	} {
		t.Run(signal, func(t *testing.T) {
			got = wire.Request{}
			empty := []byte{0x0a, 0} // a resource without anything
			if err := consume(wire.NewContext(t.Context(), wire.Request{Body: empty, Items: 7})); err != nil {
				t.Fatal(err)
			}
			// The resources of all signals are alike.
			td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(got.Body)
			if err != nil || got.Items != 7 || td.ResourceSpans().Len() != 1 {
				t.Fatalf("handed on %+v, %v", got, err)
			}
			if name, _ := td.ResourceSpans().At(0).Resource().Attributes().Get("k8s.pod.name"); name.AsString() != "cart-1" {
				t.Errorf("the attribute is %q", name.AsString())
			}
		})
	}
}
