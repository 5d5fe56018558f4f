// Package receiver takes OTLP from the application: by gRPC and by HTTP, on every
// address it listens on. One HTTP server serves both, because gRPC is HTTP/2 with
// prior knowledge. What requests take of memory is bounded: bodies by a budget of
// the bytes that are held, and work on them by the number of requests at once and by
// cutting large ones into pieces. Protobuf is never decoded. It stores nothing.
package receiver

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// Config is the receiver's part of the collector's configuration.
type Config struct {
	Listen          []string `yaml:"listen"`
	MaxRequestBytes int      `yaml:"max_request_bytes"` // uncompressed
	// HeldBytes bounds the bodies that are held at once. One request at a time may
	// go beyond it, up to MaxRequestBytes, so that there is always one that ends.
	HeldBytes int64 `yaml:"held_bytes"`
	// Concurrency is how many requests are worked on at once.
	Concurrency int `yaml:"concurrency"`
	// Piece bounds what is handed to the pipeline at once. An item beyond it is
	// refused.
	Piece wire.Limits `yaml:"piece"`
	// JSONMemory bounds what a request in JSON may take when it is decoded, in bytes.
	JSONMemory int `yaml:"json_memory"`

	// Redact are the rules of redaction; nil for none.
	Redact *redact.Rules `yaml:"redact,omitempty"`
	// Origin are the keys of the attributes that resources are given. They and those of
	// services and of Kubernetes say where telemetry comes from, so a rule that cannot be
	// read does not mask them.
	Origin []string `yaml:"-"`
	// Foreign says which resources of a request with spans are of other pods; nil if nobody
	// asks.
	Foreign func(request []byte) []bool `yaml:"-"`

	MessageTimeout time.Duration `yaml:"message_timeout"` // from the first to the last byte of a request
	StopTimeout    time.Duration `yaml:"stop_timeout"`    // for requests under way at shutdown
}

// Validate refuses a configuration that would not receive anything.
func (c *Config) Validate() error {
	if len(c.Listen) == 0 || c.MaxRequestBytes <= 0 || c.HeldBytes <= 0 || c.Concurrency <= 0 || c.MessageTimeout <= 0 {
		return errors.New("listen, max_request_bytes, held_bytes, concurrency and message_timeout must be set")
	}
	if c.Piece.Bytes <= 0 || c.Piece.Items <= 0 || c.JSONMemory <= 0 {
		return errors.New("piece must be bounded in bytes and items, and json_memory set")
	}
	return nil
}

// Type is the receiver's name in a configuration.
var Type = component.MustNewType("otlp")

// NewFactory returns a factory of receivers with the given configuration, which
// count what they refuse in the ledger.
func NewFactory(config Config, stats *ledger.Ledger) receiver.Factory {
	var shared *server // the pipelines of all signals share one
	server := func(set receiver.Settings, cfg component.Config) *server {
		if shared == nil {
			shared = newServer(cfg.(*Config), set.Logger, stats)
		}
		return shared
	}
	return receiver.NewFactory(Type, func() component.Config { return &config },
		receiver.WithTraces(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
			return server(set, cfg).connect(ledger.Traces, traces(next)), nil
		}, component.StabilityLevelStable),
		receiver.WithMetrics(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
			return server(set, cfg).connect(ledger.Metrics, metrics(next)), nil
		}, component.StabilityLevelStable),
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			return server(set, cfg).connect(ledger.Logs, logs(next)), nil
		}, component.StabilityLevelStable),
	)
}
