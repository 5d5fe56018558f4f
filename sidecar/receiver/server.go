package receiver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/nova/novawire/sidecar/ledger"
)

// bindEvery is how often a taken address is tried again.
const bindEvery = 5 * time.Second

// server is the receiver of all signals.
type server struct {
	config *Config
	logger *zap.Logger
	book   *ledger.Ledger
	sinks  [3]sink
	turns  chan struct{}

	start, stop sync.Once
	unlisten    context.CancelFunc
	running     sync.WaitGroup
	muxes       []*mux
	rpc         *grpc.Server
	web         *http.Server
}

func newServer(config *Config, logger *zap.Logger, book *ledger.Ledger) *server {
	return &server{config: config, logger: logger, book: book, turns: make(chan struct{}, config.Concurrency)}
}

func (s *server) serve(signal ledger.Signal, to sink) *server {
	s.sinks[signal] = to
	return s
}

// turn waits until one more request may be read. What a burst costs is what is
// being read and decoded; the rest waits with its senders.
func (s *server) turn(ctx context.Context) (release func(), err error) {
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take decodes a request and hands it on.
func (s *server) take(ctx context.Context, signal ledger.Signal, body []byte, e encoding) error {
	err := s.sinks[signal](ctx, body, e)
	if errors.Is(err, errMalformed) {
		s.book.Of(signal).RefuseRequest(ledger.Malformed)
	}
	return err
}

// Start listens. An address that is taken, as by the application itself, is no
// reason to end: it is tried again, and the rest works.
func (s *server) Start(ctx context.Context, _ component.Host) error {
	s.start.Do(func() {
		listening, cancel := context.WithCancel(context.WithoutCancel(ctx)) // beyond the call that starts
		s.rpc, s.web, s.unlisten = s.newRPC(), s.newWeb(), cancel           //nolint:contextcheck // requests have contexts of their own
		for _, address := range s.config.Listen {
			m := newMux()
			s.muxes = append(s.muxes, m)
			s.running.Go(func() { _ = s.rpc.Serve(m.rpc) })
			s.running.Go(func() { _ = s.web.Serve(m.web) })
			listener, err := listen(listening, address)
			s.running.Go(func() { s.accept(listening, m, address, listener, err) })
		}
	})
	return nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// accept serves the address once it can be had, and tells that it cannot once.
func (s *server) accept(ctx context.Context, m *mux, address string, listener net.Listener, err error) {
	if err != nil {
		s.logger.Warn("address cannot be listened on yet", zap.String("address", address), zap.Error(err))
	}
	for ; err != nil; listener, err = listen(ctx, address) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(bindEvery):
		}
	}
	m.serve(ctx, listener)
}

// Shutdown takes no further request and lets those under way end.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() {
		if s.rpc == nil {
			return
		}
		s.unlisten()
		ctx, cancel := context.WithTimeout(ctx, s.config.StopTimeout)
		defer cancel()
		hard := context.AfterFunc(ctx, s.rpc.Stop)
		s.rpc.GracefulStop()
		hard()
		if s.web.Shutdown(ctx) != nil {
			_ = s.web.Close()
		}
		for _, m := range s.muxes {
			m.close()
		}
		s.running.Wait()
	})
	return nil
}
