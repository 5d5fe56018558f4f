// Package status is the sidecar's own window: /metrics, /health and /ready on
// one address. It only reads, and a sidecar without it works as well: an
// address that is taken is told, tried again and nothing more.
package telemetry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/ledger"
)

// Config is what the extension is told.
type Config struct {
	Listen   string `mapstructure:"listen"`
	Backend  string `mapstructure:"backend"`
	Mistakes int    `mapstructure:"mistakes"` // in the variables
}

// Type is the extension's name in a configuration.
var Type = component.MustNewType("status")

// NewFactory makes extensions that show the ledger.
func NewFactory(book *ledger.Ledger) extension.Factory {
	return extension.NewFactory(Type, func() component.Config { return &Config{} },
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return &status{config: cfg.(*Config), set: set, book: book}, nil
		}, component.StabilityLevelStable)
}

const bindEvery = 5 * time.Second

type status struct {
	config *Config
	set    extension.Settings
	book   *ledger.Ledger

	ready   atomic.Bool
	server  *http.Server
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ extensioncapabilities.PipelineWatcher = (*status)(nil)

// Ready and NotReady are told by the collector.
func (s *status) Ready() error {
	s.ready.Store(true)
	return nil
}

// NotReady is the beginning of the end.
func (s *status) NotReady() error {
	s.ready.Store(false)
	return nil
}

// Start serves in the background.
func (s *status) Start(ctx context.Context, _ component.Host) error {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	routes.HandleFunc("GET /ready", s.serveReady)
	routes.HandleFunc("GET /metrics", s.serveMetrics)
	s.server = &http.Server{Handler: routes, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // beyond the call that starts
	s.stop = stop
	s.running.Go(func() { s.serve(serving) })
	return nil
}

func (s *status) serve(ctx context.Context) {
	for told := false; ; told = true {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Listen)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = listener.Close() })
			err = s.server.Serve(listener)
		}
		if ctx.Err() != nil {
			return
		}
		if !told {
			s.set.Logger.Warn("status is not served yet", zap.String("address", s.config.Listen), zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(bindEvery):
		}
	}
}

// Shutdown ends at once: what is read here is read again elsewhere.
func (s *status) Shutdown(context.Context) error {
	if s.stop == nil {
		return nil
	}
	s.stop()
	_ = s.server.Close()
	s.running.Wait()
	return nil
}

func (s *status) serveReady(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *status) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.book.WriteMetrics(w)
	fmt.Fprintf(w, "# HELP novawire_sidecar_mistakes Variables that are wrong or missing.\n# TYPE novawire_sidecar_mistakes gauge\nnovawire_sidecar_mistakes %d\n", s.config.Mistakes)
	fmt.Fprintf(w, "# HELP novawire_sidecar_info The build and its backend.\n# TYPE novawire_sidecar_info gauge\nnovawire_sidecar_info{version=%q,backend=%q} 1\n", s.set.BuildInfo.Version, s.config.Backend)
}
