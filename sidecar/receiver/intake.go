// Package intake takes OTLP from the application: by gRPC and by HTTP on every
// address it listens on, told apart by the first bytes, so that a service built
// for the other protocol still works. It reads few requests at once, so a burst
// waits with its senders and not in memory. It stores nothing.
package receiver

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/nova/novawire/sidecar/ledger"
)

// Config is what the receiver is told.
type Config struct {
	Listen          []string      `mapstructure:"listen"`
	MaxRequestBytes int           `mapstructure:"max_request_bytes"` // uncompressed
	Concurrency     int           `mapstructure:"concurrency"`       // requests that are read and decoded at once
	StopTimeout     time.Duration `mapstructure:"stop_timeout"`      // for requests under way at shutdown
}

// Validate refuses what would not take anything.
func (c *Config) Validate() error {
	if len(c.Listen) == 0 || c.MaxRequestBytes <= 0 || c.Concurrency <= 0 {
		return errors.New("listen, max_request_bytes and concurrency must be set")
	}
	return nil
}

// Type is the receiver's name in a configuration.
var Type = component.MustNewType("intake")

// NewFactory makes receivers that count what they refuse in the ledger.
func NewFactory(book *ledger.Ledger) receiver.Factory {
	shared := map[component.Config]*server{} // the pipelines of all signals share one
	of := func(set receiver.Settings, cfg component.Config) *server {
		s, ok := shared[cfg]
		if !ok {
			s = newServer(cfg.(*Config), set.Logger, book)
			shared[cfg] = s
		}
		return s
	}
	return receiver.NewFactory(Type, func() component.Config { return &Config{StopTimeout: time.Second} },
		receiver.WithTraces(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
			return of(set, cfg).serve(ledger.Traces, traces(next)), nil
		}, component.StabilityLevelStable),
		receiver.WithMetrics(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
			return of(set, cfg).serve(ledger.Metrics, metrics(next)), nil
		}, component.StabilityLevelStable),
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			return of(set, cfg).serve(ledger.Logs, logs(next)), nil
		}, component.StabilityLevelStable),
	)
}
