// Package outlet sends telemetry to the backend and keeps account of it. What
// waits is kept as OTLP bytes, in a queue that is bounded by bytes and gives up
// its oldest for the newest; requests are bound together from it within the
// limits of the backend, one at a time, and repeated within bounds. Every item
// ends in the ledger: exported, dropped for a reason, or stored.
//
// It replaces the collector's exporterhelper, whose queue drops the newest, has
// no deadline at shutdown and forgets what a backend refused in part: see
// docs/adr/0701.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/exporter"

	"github.com/nova/novawire/sidecar/ledger"
)

// Config is what the exporter is told.
type Config struct {
	Protocol string            `mapstructure:"protocol"` // grpc or http/protobuf
	Targets  map[string]Target `mapstructure:"targets"`  // by signal; one without is counted as dropped

	Headers     map[string]configopaque.String `mapstructure:"headers"`
	Compression string                         `mapstructure:"compression"` // gzip or none
	TLS         TLS                            `mapstructure:"tls"`

	Timeout       time.Duration `mapstructure:"timeout"`
	RetryLimit    time.Duration `mapstructure:"retry_limit"`
	FlushInterval time.Duration `mapstructure:"flush_interval"`
	DrainTimeout  time.Duration `mapstructure:"drain_timeout"`

	QueueBytes int64  `mapstructure:"queue_bytes"` // per signal
	StorageDir string `mapstructure:"storage_dir"` // empty: memory alone

	Batch Batch `mapstructure:"batch"`
}

// Target is where the requests of one signal go.
type Target struct {
	URL     string                         `mapstructure:"url"` // for gRPC: scheme, host and port
	Headers map[string]configopaque.String `mapstructure:"headers"`
	Auth    component.ID                   `mapstructure:"auth"` // an extensionauth.HTTPClient
}

// Batch bounds one request to the backend.
type Batch struct {
	Bytes     int `mapstructure:"bytes"` // uncompressed
	Items     int `mapstructure:"items"`
	ItemBytes int `mapstructure:"item_bytes"` // of one item; 0: as the request
}

// Validate refuses what could not send or would never stop.
func (c *Config) Validate() error {
	if c.Batch.Bytes <= 0 || c.Batch.Items <= 0 || c.QueueBytes < int64(c.Batch.Bytes) {
		return errors.New("the queue must hold a batch")
	}
	if c.Timeout <= 0 || c.FlushInterval <= 0 {
		return errors.New("timeout and flush_interval must be set")
	}
	for signal, target := range c.Targets {
		if target.URL == "" {
			return fmt.Errorf("%s: target without url", signal)
		}
	}
	return nil
}

// Type is the exporter's name in a configuration.
var Type = component.MustNewType("outlet")

// NewFactory makes the exporters of one collector, which write to the ledger
// and end together.
func NewFactory(book *ledger.Ledger) exporter.Factory {
	end := newDrain()
	lane := func(set exporter.Settings, cfg component.Config, signal ledger.Signal) *lane {
		return newLane(cfg.(*Config), set, signal, book.Of(signal), end)
	}
	return exporter.NewFactory(Type, func() component.Config { return &Config{} },
		exporter.WithTraces(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
			return traces{lane(set, cfg, ledger.Traces)}, nil
		}, component.StabilityLevelStable),
		exporter.WithMetrics(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
			return metrics{lane(set, cfg, ledger.Metrics)}, nil
		}, component.StabilityLevelStable),
		exporter.WithLogs(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
			return logs{lane(set, cfg, ledger.Logs)}, nil
		}, component.StabilityLevelStable),
	)
}
