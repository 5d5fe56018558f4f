package receiver

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/ledger"
)

// listenRetry is how often an address that is in use is tried again.
const listenRetry = 5 * time.Second

// server is the receiver of all signals.
type server struct {
	config    *Config
	logger    *zap.Logger
	stats     *ledger.Ledger
	consumers [3]pipeline
	budget    *budget
	working   chan struct{} // a place for each request that is worked on
	zstd      func() (*zstd.Decoder, error)
	lastWait  atomic.Int64 // for memory, in nanoseconds of Unix time
	redactors sync.Pool    // of *wire.Redactor

	listen      func(ctx context.Context, address string) (net.Listener, error)
	start, stop sync.Once
	unlisten    context.CancelFunc
	running     sync.WaitGroup
	http        *http.Server
}

func newServer(config *Config, logger *zap.Logger, stats *ledger.Ledger) *server {
	s := &server{
		config: config, logger: logger, stats: stats, listen: listen,
		budget: newBudget(config.HeldBytes, config.MaxRequestBytes), working: make(chan struct{}, config.Concurrency), zstd: newZstd(config.MaxRequestBytes),
	}
	s.http = s.newHTTP()
	return s
}

func (s *server) connect(signal ledger.Signal, next pipeline) *server {
	s.consumers[signal] = next
	return s
}

// newHTTP serves HTTP/1.1, and HTTP/2 without TLS for gRPC. A stream that waits
// for the budget holds one window; the rest waits with its sender.
func (s *server) newHTTP() *http.Server {
	routes := http.NewServeMux()
	for _, signal := range ledger.Signals {
		routes.HandleFunc("/v1/"+signal.String(), func(w http.ResponseWriter, r *http.Request) { s.serveHTTP(w, r, signal) })
		routes.HandleFunc("POST /"+services[signal]+"/Export", func(w http.ResponseWriter, r *http.Request) { s.serveGRPC(w, r, signal) })
	}
	routes.HandleFunc("/", notFound)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           routes,
		Protocols:         protocols,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // senders that hang up, each of them
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          256,
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     64 << 10,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
		},
	}
}

// Start listens. An address that is in use, as by the application itself, does not
// end the sidecar: it is tried again, and the other addresses work.
func (s *server) Start(ctx context.Context, _ component.Host) error {
	s.start.Do(func() {
		listening, cancel := context.WithCancel(context.WithoutCancel(ctx)) // beyond the call that starts
		s.unlisten = cancel
		for _, address := range s.config.Listen {
			listener, err := s.listen(listening, address)
			s.running.Go(func() { s.serve(listening, address, listener, err) })
		}
	})
	return nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// serve serves the address as soon as it is free, and logs once that it is not.
func (s *server) serve(ctx context.Context, address string, listener net.Listener, err error) {
	if err != nil {
		s.logger.Warn("address is in use; will retry", zap.String("address", address), zap.Error(err))
	}
	for ; err != nil; listener, err = s.listen(ctx, address) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenRetry):
		}
	}
	_ = s.http.Serve(listener)
}

// Shutdown takes no further request, and lets those under way end within StopTimeout.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() {
		if s.unlisten == nil { // never started
			return
		}
		s.unlisten()
		ctx, cancel := context.WithTimeout(ctx, s.config.StopTimeout)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			_ = s.http.Close()
		}
		s.running.Wait()
	})
	return nil
}
