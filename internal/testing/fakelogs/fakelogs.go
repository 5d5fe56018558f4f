// Package strictlogs is an Amazon CloudWatch Logs for tests. It speaks the AWS
// JSON 1.1 protocol of the API version 2014-03-28, checks signatures, and keeps
// to every limit that the API reference of PutLogEvents documents, in its
// narrowest reading: what it takes, the service takes. It remembers each event
// that it stored, so that what was sent and what arrived can be compared
// exactly, and it misbehaves on demand, before or after it stores.
package fakelogs

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of PutLogEvents (API reference, 2014-03-28). A megabyte is taken for
// a million bytes, the narrower of its readings.
const (
	MaxBatchBytes  = 1_048_576 // messages in UTF-8, and 26 bytes for each event
	MaxBatchEvents = 10_000
	MaxEventBytes  = 1_000_000
	EventOverhead  = 26
	MaxSpan        = 24 * time.Hour
	MaxFuture      = 2 * time.Hour
	MaxPast        = 14 * 24 * time.Hour
)

// Fault is what becomes of one PutLogEvents. The zero value stores the events.
type Fault struct {
	Delay time.Duration // before anything else
	// Refuse answers with an error of the service, by its name.
	Refuse string
	// Reset tears the connection before anything is stored.
	Reset bool
	// LoseResponse stores the events and tears the connection.
	LoseResponse bool
	// Hang stores the events and answers when the client has gone.
	Hang bool
	// Vanish deletes the log group first; VanishStream the stream alone.
	DeleteGroup, DeleteStream bool
}

// Options are what a server demands.
type Options struct {
	Region, AccessKey, SecretKey string
	// Now is the service's clock; nil is the machine's.
	Now func() time.Time
	// Rate is how many PutLogEvents a second the account has, 0 for any number.
	Rate float64
}

// Event is one that was stored.
type Event struct {
	Group, Stream string
	Timestamp     int64 // milliseconds since 1970
	Message       string
}

// Server serves on a free port of loopback.
type Server struct {
	options  Options
	listener net.Listener
	web      *http.Server
	serving  sync.WaitGroup
	closing  chan struct{}

	mu         sync.Mutex
	groups     map[string]*group
	fault      func(put int) Fault
	puts       int // since Misbehave
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
	retention int // days; 0 is for ever
	streams   map[string]bool
}

// Start serves until Close; ctx is for the start alone.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
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

// Close ends all connections.
func (s *Server) Close() {
	close(s.closing)
	_ = s.web.Close()
	s.serving.Wait()
}

// URL is the endpoint.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// InjectFaults decides about PutLogEvents from now on, which are numbered from 0.
func (s *Server) InjectFaults(fault func(put int) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts, s.fault = 0, fault
}

// Stored lists every event in the order of storing.
func (s *Server) Stored() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.stored...)
}

// DiscardEvents makes the server count events and keep none of them, for a load that
// would not fit into memory.
func (s *Server) DiscardEvents() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discards = true
}

// Count is how many events were stored.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// LostResponses is how many of the stored events have an answer that nobody got.
func (s *Server) LostResponses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Rejected is how many events were refused one by one, by reason: too_new,
// too_old, expired.
func (s *Server) Rejected() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for reason, n := range s.rejected {
		all[reason] = n
	}
	return all
}

// Violations lists the requests that the service would not have, as sentences:
// a limit that was not kept, a wrong signature. Faults are not among them, nor
// is what is part of the protocol: something missing, or there already.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

// Calls is how often an operation was asked for.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Retention is a group's, in days; -1 where there is no group.
func (s *Server) Retention(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[name]; g != nil {
		return g.retention
	}
	return -1
}

// CreateStream creates a group and a stream beforehand.
func (s *Server) CreateStream(name, stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[name] == nil {
		s.groups[name] = &group{streams: map[string]bool{}}
	}
	s.groups[name].streams[stream] = true
}

// SetRetention sets a group's retention beforehand.
func (s *Server) SetRetention(name string, days int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[name].retention = days
}
