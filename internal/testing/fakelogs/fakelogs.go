// Package fakelogs is a fake of Amazon CloudWatch Logs. It speaks the AWS JSON
// 1.1 protocol of API version 2014-03-28, checks signatures, and enforces every
// limit in the API reference of PutLogEvents in its narrowest reading: what it
// accepts, the service accepts. It keeps the stored events, so that tests can
// compare them with what was sent, and injects faults before or after it stores.
package fakelogs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// The limits of PutLogEvents (API reference, 2014-03-28). "1 MB" is read as a
// million bytes, the narrower reading.
const (
	MaxBatchBytes  = 1_048_576 // messages in UTF-8, and 26 bytes for each event
	MaxBatchEvents = 10_000
	MaxEventBytes  = 1_000_000
	EventOverhead  = 26
	MaxSpan        = 24 * time.Hour
	MaxFuture      = 2 * time.Hour
	MaxPast        = 14 * 24 * time.Hour
)

// Fault says how the server handles one PutLogEvents request. The zero value
// stores the events.
type Fault struct {
	Delay time.Duration // before anything else
	// Refuse responds with the error of this name.
	Refuse string
	// Reset resets the connection before anything is stored.
	Reset bool
	// LoseResponse stores the events and resets the connection.
	LoseResponse bool
	// Hang stores the events and does not respond until the client has gone.
	Hang bool
	// DeleteGroup deletes the log group first; DeleteStream deletes only the
	// stream.
	DeleteGroup, DeleteStream bool
}

// Options configure a server.
type Options struct {
	Region, AccessKey, SecretKey string
	// Address to serve on; "" is a free port of loopback.
	Address string
	// Now is the service's clock; nil is the machine's.
	Now func() time.Time
	// Rate is the account's quota of PutLogEvents a second; 0 is unlimited.
	Rate float64
}

// Event is a stored event.
type Event struct {
	Group, Stream string
	Timestamp     int64 // milliseconds since 1970
	Message       string
}

// Server is a running service.
type Server struct {
	options  Options
	listener net.Listener
	web      *http.Server
	serving  sync.WaitGroup
	closing  chan struct{}

	mu         sync.Mutex
	groups     map[string]*group
	fault      func(put int) Fault
	puts       int // since InjectFaults
	calls      map[string]int
	stored     []Event
	discards   bool
	number     int // of stored events
	lost       int
	rejected   map[string]int
	violations []string
	tokens     float64
	filled     time.Time
}

type group struct {
	retention int // days; 0 never expires
	streams   map[string]bool
}

// Start starts a server. ctx only bounds the start.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cmp.Or(o.Address, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("start CloudWatch Logs: %w", err)
	}
	s := &Server{
		options: o, listener: listener, closing: make(chan struct{}),
		groups: map[string]*group{}, calls: map[string]int{}, rejected: map[string]int{},
		tokens: o.Rate, filled: o.Now(),
	}
	s.web = &http.Server{Handler: http.HandlerFunc(s.serve)}
	s.serving.Go(func() { _ = s.web.Serve(listener) })
	return s, nil
}

// Close stops the server and closes all connections.
func (s *Server) Close() {
	close(s.closing)
	_ = s.web.Close()
	s.serving.Wait()
}

// URL returns the endpoint.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// InjectFaults sets the function that chooses the fault of each PutLogEvents
// request. Requests are numbered from 0.
func (s *Server) InjectFaults(fault func(put int) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts, s.fault = 0, fault
}

// Stored returns the stored events in the order of storing.
func (s *Server) Stored() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.stored...)
}

// DiscardEvents makes the server count events without keeping them, for loads
// that do not fit into memory.
func (s *Server) DiscardEvents() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discards = true
}

// Count returns the number of stored events.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// LostResponses returns the number of stored events whose response no client
// received.
func (s *Server) LostResponses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Rejected returns the number of rejected events by reason: too_new, too_old,
// expired.
func (s *Server) Rejected() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for reason, n := range s.rejected {
		all[reason] = n
	}
	return all
}

// Violations returns the requests that broke a rule of the service, as sentences:
// a limit, a signature. Injected faults and errors that belong to the protocol,
// such as a missing stream, are not violations.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

// AllCalls returns how often each operation was called.
func (s *Server) AllCalls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// Calls returns how often an operation was called.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Retention returns the retention of a group in days, or -1 if it does not exist.
func (s *Server) Retention(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[name]; g != nil {
		return g.retention
	}
	return -1
}

// CreateStream creates a stream and, if needed, its group.
func (s *Server) CreateStream(name, stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[name] == nil {
		s.groups[name] = &group{streams: map[string]bool{}}
	}
	s.groups[name].streams[stream] = true
}

// SetRetention sets the retention of a group.
func (s *Server) SetRetention(name string, days int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[name].retention = days
}
