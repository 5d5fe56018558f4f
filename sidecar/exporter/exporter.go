// Package exporter sends telemetry to the backend. Each signal has a queue of OTLP
// bytes, bounded in bytes, which drops its oldest items for the newest, and one
// consumer, which sends one request at a time and repeats it within bounds. Every
// item ends in the ledger: exported, dropped for a reason, or stored.
//
// It replaces the collector's exporterhelper, whose queue drops the newest, has no
// deadline at shutdown and forgets what a backend refused in part: see
// docs/adr/0701.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// Config is the exporter's part of the collector's configuration.
type Config struct {
	Protocol string            `yaml:"protocol"` // grpc or http/protobuf
	Targets  map[string]Target `yaml:"targets"`  // by signal; the items of a signal without one are dropped

	Headers     map[string]Secret `yaml:"headers,omitempty"`
	Compression string            `yaml:"compression"` // gzip or none
	TLS         TLS               `yaml:"tls"`

	Timeout       time.Duration `yaml:"timeout"`
	RetryLimit    time.Duration `yaml:"retry_limit"`
	FlushInterval time.Duration `yaml:"flush_interval"`
	DrainTimeout  time.Duration `yaml:"drain_timeout"`

	QueueBytes int64  `yaml:"queue_bytes"` // per signal
	StorageDir string `yaml:"storage_dir"` // empty: the queue is in memory alone

	// Batch bounds one request to the backend.
	Batch wire.Limits `yaml:"batch"`
}

// Target is where the requests of one signal go.
type Target struct {
	URL     URL               `yaml:"url"` // for gRPC: scheme, host and port
	Headers map[string]string `yaml:"headers,omitempty"`
	Sign    *Signing          `yaml:"sign,omitempty"` // nil: requests are not signed
}

// Signing says for whom requests are signed, as AWS asks.
type Signing struct {
	Region  string `yaml:"region"`
	Service string `yaml:"service"` // xray, monitoring or logs
}

// Validate refuses a configuration that could not send or would never end.
func (c *Config) Validate() error {
	if c.Batch.Bytes <= 0 || c.Batch.Items <= 0 || c.QueueBytes < int64(c.Batch.Bytes) {
		return errors.New("the queue must hold a batch")
	}
	if c.Timeout <= 0 || c.FlushInterval <= 0 {
		return errors.New("timeout and flush_interval must be set")
	}
	for signal, target := range c.Targets {
		if target.URL == "" {
			return fmt.Errorf("%s: the target has no URL", signal)
		}
	}
	return nil
}

// Type is the exporter's name in a configuration.
var Type = component.MustNewType("otlp")

// NewFactory returns a factory of exporters with the given configuration, which
// write to the ledger and shut down together. The credentials sign the requests to
// targets that ask for it.
func NewFactory(config Config, credentials aws.CredentialsProvider, stats *ledger.Ledger) exporter.Factory {
	shutdown := newDrain()
	newExporter := func(set exporter.Settings, cfg component.Config, signal ledger.Signal) *signalExporter {
		return newSignalExporter(cfg.(*Config), set.Logger, signal, stats.Counters(signal), shutdown, credentials)
	}
	return exporter.NewFactory(Type, func() component.Config { return &config },
		exporter.WithTraces(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
			return traces{newExporter(set, cfg, ledger.Traces)}, nil
		}, component.StabilityLevelStable),
		exporter.WithMetrics(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
			return metrics{newExporter(set, cfg, ledger.Metrics)}, nil
		}, component.StabilityLevelStable),
		exporter.WithLogs(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
			return logs{newExporter(set, cfg, ledger.Logs)}, nil
		}, component.StabilityLevelStable),
	)
}
