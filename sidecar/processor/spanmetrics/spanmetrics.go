// Package spanmetrics derives metrics from the spans that pass: requests, errors and
// durations by service, route, method and status, as OpenTelemetry's semantic conventions
// name them, and the P0 indicators under their own names. The number of series is
// limited. The metrics are exposed, not exported: spans pass unchanged, and no item is
// added to what the sidecar accounts for.
package spanmetrics

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"

	"github.com/nova/novawire/sidecar/wire"
)

// Config is the processor's part of the collector's configuration.
type Config struct {
	Enabled     bool `yaml:"enabled"`
	SeriesLimit int  `yaml:"series_limit"` // histograms with labels of their own
	// PodUID and PodName say whose spans count: others are relayed by the application. One
	// that is empty is not compared.
	PodUID  string `yaml:"pod_uid"`
	PodName string `yaml:"pod_name"`
}

// Foreign reports which resources of a request that wire.Scan has accepted are of other
// pods, whose spans the application relays; nil if none is. The receiver asks before
// anything is redacted or added: the attributes may then say something else.
func (c Config) Foreign(request []byte) (foreign []bool) {
	wire.ReadResources(request, resourceCount, resourcePlace, func(index int, values []wire.Value) {
		if !c.isForeign(values) {
			return
		}
		for len(foreign) <= index {
			foreign = append(foreign, false)
		}
		foreign[index] = true
	})
	return foreign
}

func (c Config) isForeign(resource []wire.Value) bool {
	for _, own := range [...]struct {
		place int
		value string
	}{{podUID, c.PodUID}, {podName, c.PodName}} {
		if v := resource[own.place]; own.value != "" && v.Kind == wire.Text {
			return string(v.Text) != own.value
		}
	}
	return false
}

// Type is the processor's name in a configuration.
var Type = component.MustNewType("spanmetrics")

// NewFactory returns a factory of processors that count in the metrics.
func NewFactory(config Config, metrics *Metrics) processor.Factory {
	return processor.NewFactory(Type, func() component.Config { return &config },
		processor.WithTraces(func(_ context.Context, _ processor.Settings, _ component.Config, next consumer.Traces) (processor.Traces, error) {
			return &traces{metrics: metrics, next: next}, nil
		}, component.StabilityLevelStable),
	)
}

type traces struct {
	component.StartFunc
	component.ShutdownFunc
	metrics *Metrics
	next    consumer.Traces
}

// Capabilities says that the data in the pipeline stays as it is.
func (*traces) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeTraces hands on the request, and counts its spans when they were taken: the sender
// repeats what was refused.
func (p *traces) ConsumeTraces(ctx context.Context, none ptrace.Traces) error {
	if err := p.next.ConsumeTraces(ctx, none); err != nil {
		return err
	}
	request := wire.FromContext(ctx)
	p.metrics.Observe(request.Body, request.Foreign)
	return nil
}
