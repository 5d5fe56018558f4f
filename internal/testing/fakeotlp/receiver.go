// Package fakeotlp is a fake OTLP backend for tests. It records the identity of every
// acknowledged item, so that tests can compare sent and received items exactly. It
// fails on demand, always before it accepts a request, and reports mistakes that a
// lenient backend accepts.
package fakeotlp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// Fault is what becomes of one request. The zero value takes it.
type Fault struct {
	Delay      time.Duration // before anything else
	Reset      bool          // the connection is torn
	Refuse     Refusal
	RetryAfter time.Duration // told with a refusal
	Reject     int           // partial success: the first so many items are not taken
}

// Refusal is an error of the backend.
type Refusal int

// The refusals, by what the sender is to do.
const (
	None    Refusal = iota
	Busy            // try again: HTTP 503, gRPC UNAVAILABLE
	Limited         // try again when told: HTTP 429, gRPC RESOURCE_EXHAUSTED
	Wrong           // never: HTTP 400, gRPC INVALID_ARGUMENT
)

// Options are what a receiver demands of its senders.
type Options struct {
	GRPC, HTTP string      // addresses; "" for a free port of loopback
	TLS        *tls.Config // nil: none
	AWS        *AWS        // nil: requests are not signed, and limits are OTLP's
}

// Receiver takes OTLP by gRPC on one port and by HTTP on another.
type Receiver struct {
	options   Options
	rpc       *grpc.Server
	web       *http.Server
	listeners [2]*tracked
	serving   sync.WaitGroup

	mu       sync.Mutex
	requests int
	fault    func(request int) Fault
	taken    map[string]map[string]int // signal, identity: how often
	resource map[string]map[string]string
	problems []string
	headers  http.Header
}

// Start serves until Close; ctx is for the start alone.
func Start(ctx context.Context, o Options) (*Receiver, error) {
	r := &Receiver{options: o, taken: map[string]map[string]int{}, resource: map[string]map[string]string{}}
	for i, address := range []string{o.GRPC, o.HTTP} {
		l, err := listen(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("start receiver: %w", err)
		}
		r.listeners[i] = l
	}
	r.rpc, r.web = r.newRPC(), r.newWeb()
	r.serving.Go(func() { _ = r.rpc.Serve(r.listeners[0]) })
	r.serving.Go(func() {
		if o.TLS != nil {
			_ = r.web.ServeTLS(r.listeners[1], "", "")
			return
		}
		_ = r.web.Serve(r.listeners[1])
	})
	return r, nil
}

// Close ends all connections.
func (r *Receiver) Close() {
	r.rpc.Stop()
	_ = r.web.Close()
	r.serving.Wait()
}

// GRPC and HTTP are the addresses, host:port.
func (r *Receiver) GRPC() string { return r.listeners[0].Addr().String() }

// HTTP is the other address.
func (r *Receiver) HTTP() string { return r.listeners[1].Addr().String() }

// Misbehave decides about requests from now on, which are numbered from 0.
func (r *Receiver) Misbehave(fault func(request int) Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.fault = 0, fault
}

func (r *Receiver) next() Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if r.fault == nil {
		return Fault{}
	}
	return r.fault(r.requests - 1)
}

// Requests is how many came since the last Misbehave.
func (r *Receiver) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Taken returns the identities of a signal that were acknowledged, and how
// often each: a span's is its id, a log record's its body, a data point's its
// attribute "id".
func (r *Receiver) Taken(signal string) map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]int, len(r.taken[signal]))
	for id, n := range r.taken[signal] {
		all[id] = n
	}
	return all
}

// Resource is the resource of the last request of the signal.
func (r *Receiver) Resource(signal string) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resource[signal]
}

// Header is a header of the last request.
func (r *Receiver) Header(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers.Get(name)
}

// Problems are what senders did that a strict backend refuses.
func (r *Receiver) Problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.problems...)
}

func (r *Receiver) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *Receiver) sawHeaders(h http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers = h
}

// tracked can tear all connections at once.
type tracked struct {
	net.Listener
	mu    sync.Mutex
	conns map[net.Conn]bool
}

func listen(ctx context.Context, address string) (*tracked, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	return &tracked{Listener: l, conns: map[net.Conn]bool{}}, err
}

func (t *tracked) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err == nil {
		t.mu.Lock()
		t.conns[conn] = true
		t.mu.Unlock()
	}
	return conn, err
}

func (t *tracked) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for conn := range t.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset instead of an orderly end
		}
		_ = conn.Close()
	}
	clear(t.conns)
}
