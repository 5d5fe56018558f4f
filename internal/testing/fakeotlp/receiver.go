// Package fakeotlp is a strict OTLP backend for tests. It remembers every item that it
// acknowledged, so that what was sent and what arrived can be compared exactly. It fails
// on demand, always before it accepts a request and never after. It records as a problem
// what a lenient backend would accept.
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

// Fault says how one request fails. The zero value accepts it.
type Fault struct {
	Delay      time.Duration // before anything else
	Reset      bool          // all connections are reset
	Refuse     Refusal
	RetryAfter time.Duration // sent with a refusal
	Reject     int           // partial success: so many items, the first ones, are rejected
}

// Refusal is an error of the backend.
type Refusal int

// The refusals, by what the sender should do.
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

// Receiver accepts OTLP by gRPC on one port and by HTTP on another.
type Receiver struct {
	options   Options
	grpc      *grpc.Server
	http      *http.Server
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

// Start starts a receiver, which serves until Close. The context is for the start alone.
func Start(ctx context.Context, o Options) (*Receiver, error) {
	r := &Receiver{options: o, taken: map[string]map[string]int{}, resource: map[string]map[string]string{}}
	for i, address := range []string{o.GRPC, o.HTTP} {
		l, err := listen(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("start receiver: %w", err)
		}
		r.listeners[i] = l
	}
	r.grpc, r.http = r.newGRPC(), r.newHTTP()
	r.serving.Go(func() { _ = r.grpc.Serve(r.listeners[0]) })
	r.serving.Go(func() {
		if o.TLS != nil {
			_ = r.http.ServeTLS(r.listeners[1], "", "")
			return
		}
		_ = r.http.Serve(r.listeners[1])
	})
	return r, nil
}

// Close closes all connections and waits for their requests.
func (r *Receiver) Close() {
	r.grpc.Stop()
	_ = r.http.Close()
	r.serving.Wait()
}

// GRPC returns the address for gRPC, host:port.
func (r *Receiver) GRPC() string { return r.listeners[0].Addr().String() }

// HTTP returns the address for HTTP, host:port.
func (r *Receiver) HTTP() string { return r.listeners[1].Addr().String() }

// Misbehave sets the function that decides about requests from now on. They are numbered
// from 0.
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

// Requests returns how many requests came since the last Misbehave.
func (r *Receiver) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Taken returns the items of a signal that were acknowledged, and how often each: a span
// by its id, a log record by its body, a data point by its attribute "id".
func (r *Receiver) Taken(signal string) map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]int, len(r.taken[signal]))
	for id, n := range r.taken[signal] {
		all[id] = n
	}
	return all
}

// Resource returns the resource of the last request of the signal.
func (r *Receiver) Resource(signal string) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resource[signal]
}

// Header returns a header of the last request.
func (r *Receiver) Header(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers.Get(name)
}

// Problems returns what senders did that a strict backend refuses.
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

// tracked is a listener that can reset all of its connections.
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
