// Package telemetry serves the sidecar's own state: /metrics, /ledger, /health and /ready on
// one address. The sidecar works without it: an address that is in use is logged and tried
// again.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.uber.org/zap"

	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/sidecar/ledger"
)

// Config is the extension's part of the collector's configuration.
type Config struct {
	Listen   string `yaml:"listen"`
	Backend  string `yaml:"backend"`
	Problems int    `yaml:"ignored_settings"` // variables that are wrong or missing
	Pod      string `yaml:"-"`                // its UID
}

// Type is the extension's name in a configuration.
var Type = component.MustNewType("telemetry")

// Writer writes further metrics in Prometheus' text format, or in that of OpenMetrics.
type Writer interface {
	WriteMetrics(w io.Writer, openMetrics bool)
}

// NewFactory returns a factory of extensions with the given configuration, which serve
// the ledger, and the metrics of more unless it is nil.
func NewFactory(config Config, stats *ledger.Ledger, more Writer) extension.Factory {
	return extension.NewFactory(Type, func() component.Config { return &config },
		func(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
			return &server{config: cfg.(*Config), set: set, stats: stats, more: more, started: time.Now(), final: make(chan struct{}), waits: make(chan struct{}, maxWaiting)}, nil
		}, component.StabilityLevelStable)
}

// listenRetry is how often an address that is in use is tried again.
const listenRetry = 5 * time.Second

type server struct {
	config *Config
	set    extension.Settings
	stats  *ledger.Ledger
	more   Writer

	ready   atomic.Bool
	started time.Time
	final   chan struct{} // closed: the ledger does not change any more
	waits   chan struct{} // a place for each who waits for it
	http    *http.Server
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ extensioncapabilities.PipelineWatcher = (*server)(nil)

// Ready is called by the collector when its pipelines run.
func (s *server) Ready() error {
	s.ready.Store(true)
	return nil
}

// NotReady is called by the collector before it shuts down.
func (s *server) NotReady() error {
	s.ready.Store(false)
	return nil
}

// Start serves in the background.
func (s *server) Start(ctx context.Context, _ component.Host) error {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	routes.HandleFunc("GET /ready", s.serveReady)
	routes.HandleFunc("GET /metrics", s.serveMetrics)
	routes.HandleFunc("GET "+ledgerapi.Path, s.serveLedger)
	s.http = &http.Server{Handler: routes, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // beyond the call that starts
	s.stop = stop
	s.running.Go(func() { s.serve(serving) })
	return nil
}

func (s *server) serve(ctx context.Context) {
	for logged := false; ; logged = true {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Listen)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = listener.Close() })
			err = s.http.Serve(listener)
		}
		if ctx.Err() != nil {
			return
		}
		if !logged {
			s.set.Logger.Warn("metrics address is in use; will retry", zap.String("address", s.config.Listen), zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenRetry):
		}
	}
}

// finalTimeout is how long the end waits until those who asked for the final ledger have it.
const finalTimeout = 250 * time.Millisecond

// Shutdown answers those who wait for the final ledger: the collector stops its pipelines
// before its extensions. Other connections are closed at once: a scrape that breaks off is
// repeated.
func (s *server) Shutdown(ctx context.Context) error {
	if s.stop == nil {
		return nil
	}
	close(s.final)
	ctx, cancel := context.WithTimeout(ctx, finalTimeout)
	defer cancel()
	for range maxWaiting { // who had a place that is free was answered
		select {
		case s.waits <- struct{}{}:
		case <-ctx.Done():
		}
	}
	s.stop()
	_ = s.http.Close()
	s.running.Wait()
	return nil
}

func (s *server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// maxWaiting is how many may wait for the final ledger: the replicas of the manager, also
// while a roll-out replaces them, and some more.
const maxWaiting = 8

// serveLedger serves the ledger; with the query "final", when the sidecar ends. So a manager
// gets the last account of a pod whose object is gone already.
func (s *server) serveLedger(w http.ResponseWriter, r *http.Request) {
	line := s.stats.RunningLine
	if r.URL.Query().Has(ledgerapi.Final) {
		select {
		case s.waits <- struct{}{}:
			defer func() { <-s.waits }()
		default: // any pod reaches the port
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		select {
		case <-s.final:
			line = s.stats.Line
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"pod":%q,"started":%q,%s`, s.config.Pod, s.started.UTC().Format(time.RFC3339Nano), line()[1:])
	_ = http.NewResponseController(w).Flush()
}
