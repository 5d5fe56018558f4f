// Package delivery sends events to their log streams and counts what becomes of
// them. It sends an event twice only if the response to the first attempt was
// lost. Events of one stream that are pending at the same time share a request;
// every request keeps the service's limits; throttled and failed requests are
// retried.
//
// The clock and the service are arguments.
package delivery

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Limits of PutLogEvents (API reference).
const (
	maxBatchBytes  = 1_048_576
	maxBatchEvents = 10_000
	eventOverhead  = 26
	maxSpan        = 24 * time.Hour
)

// Service is the part of CloudWatch Logs that delivery calls. Its errors are, or
// wrap, the errors below. Any other error means that nothing was stored and that
// a further attempt may succeed.
type Service interface {
	// Put stores events. Entries are elements of logEvents in order of time; Put
	// does not keep them.
	Put(ctx context.Context, group, stream string, entries [][]byte) (Rejected, error)
	CreateGroup(ctx context.Context, group string) error
	CreateStream(ctx context.Context, group, stream string) error
	SetRetention(ctx context.Context, group string, days int) error
}

// Errors of a Service.
var (
	ErrThrottled     = errors.New("throttled")
	ErrNotFound      = errors.New("no such log group or stream")
	ErrAlreadyExists = errors.New("already exists")
	ErrInvalid       = errors.New("invalid request")
	// ErrResponseLost means that the events may be stored or not.
	ErrResponseLost = errors.New("response lost")
)

// Rejected says which events of a request were not stored. The zero value rejects
// none.
type Rejected struct {
	TooOld  int // number of first events that are older than 14 days
	Expired int // number of first events that are older than the group's retention
	TooNew  int // number of last events that are more than two hours in the future
}

// reason returns why event i of n was rejected, or "" if it was stored.
func (r Rejected) reason(i, n int) Reason {
	switch {
	case i < r.TooOld:
		return TooOld
	case i < r.Expired:
		return Expired
	case i >= n-r.TooNew:
		return TooNew
	}
	return ""
}

// Clock is the source of time.
type Clock struct {
	Now func() time.Time
	// Wait returns nil after the duration, or the error of the context.
	Wait func(context.Context, time.Duration) error
}

// Settings are the dependencies and settings of a sender.
type Settings struct {
	Clock Clock
	// Limiter limits the requests to an account. Senders share it.
	Limiter *RateLimiter
	// Retention is set on groups that the sender creates, in days; 0 sets none.
	Retention int
	// Backoff is the first pause after a failure; it doubles up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// Jitter randomizes a pause, so that nodes do not retry at the same time.
	Jitter func(time.Duration) time.Duration
	// OnDelivered is called for each stored event with the item's Data.
	OnDelivered func(data any)
	// OnError receives errors, which are retried.
	OnError func(error)
}

// Sender delivers events.
type Sender struct {
	service  Service
	settings Settings
	Ledger   Ledger

	ctx    context.Context //nolint:containedctx // queues outlive the calls of Deliver
	cancel context.CancelFunc

	queueRuns sync.WaitGroup
	mu        sync.Mutex
	queues    map[Stream]*streamQueue
}

// Stream is a log stream.
type Stream struct {
	Group, Name string
	Class       Class
}

// New returns a sender. Call Close to stop it.
func New(service Service, set Settings) *Sender {
	ctx, cancel := context.WithCancel(context.Background())
	return &Sender{service: service, settings: set, ctx: ctx, cancel: cancel, queues: map[Stream]*streamQueue{}}
}

// Stop cancels requests under way and gives up all pending items.
func (s *Sender) Stop() { s.cancel() }

// Close stops the sender and waits for its goroutines. Deliver must not be called
// afterwards.
func (s *Sender) Close() {
	s.cancel()
	s.queueRuns.Wait()
}

// maxQueues is the number of queues above which unused ones are removed.
const maxQueues = 4096

func (s *Sender) acquire(to Stream) *streamQueue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[to]
	if q == nil {
		if len(s.queues) >= maxQueues {
			s.removeUnused()
		}
		q = &streamQueue{sender: s, stream: to, maxEvents: maxBatchEvents}
		s.queues[to] = q
	}
	q.users++
	return q
}

func (s *Sender) release(q *streamQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.users--
}

// removeUnused removes the queues that nobody uses. The caller holds the mutex.
func (s *Sender) removeUnused() {
	for to, q := range s.queues {
		if q.users == 0 {
			delete(s.queues, to)
		}
	}
}

// Item is one event.
type Item struct {
	Time  int64  // milliseconds since 1970
	Size  int    // bytes of the message
	Entry []byte // an element of logEvents
	Data  any    // passed to Settings.OnDelivered

	// Settled means that the event is stored or rejected.
	Settled bool
	// Unsure means that a response was lost: the event may be stored.
	Unsure bool
}

// Deliver delivers items to a stream until all are settled or ctx ends, and
// reports whether all are settled. Items must be in order of time. When Deliver
// returns, no request refers to the entries any more.
func (s *Sender) Deliver(ctx context.Context, to Stream, items []*Item) bool {
	if len(items) == 0 {
		return true
	}
	q := s.acquire(to)
	defer s.release(q)
	p := &pendingBatch{items: items, done: make(chan struct{})}
	q.add(p)
	select {
	case <-p.done:
	case <-ctx.Done():
		q.cancel(p)
		<-p.done
	}
	return p.next == len(p.items)
}
