// Package delivery brings events to their log streams, each once as far as the
// service's answers tell, and keeps account of them. Events of one stream that
// wait at the same time share a request, whoever waits for them; a request is
// within the service's limits by construction; what the service throttles, has
// lost or does not know yet is tried again.
//
// It knows no clock and no network: both are arguments.
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

// Service is CloudWatch Logs, as far as it is needed. Its errors are, or wrap,
// those below; any other says that nothing was stored and that another attempt
// may be better.
type Service interface {
	// Put stores events, which are elements of logEvents in order of time. It
	// does not keep entries.
	Put(ctx context.Context, group, stream string, entries [][]byte) (Rejected, error)
	CreateGroup(ctx context.Context, group string) error
	CreateStream(ctx context.Context, group, stream string) error
	SetRetention(ctx context.Context, group string, days int) error
}

// Errors of a Service.
var (
	ErrThrottled     = errors.New("throttled")
	ErrNotFound      = errors.New("no such group or stream")
	ErrAlreadyExists = errors.New("exists already")
	ErrInvalid       = errors.New("not acceptable")
	// ErrResponseLost leaves open whether the events were stored.
	ErrResponseLost = errors.New("answer lost")
)

// Rejected says which events of a request were not stored, by their index. The
// zero value, with all of them 0, rejects nothing.
type Rejected struct {
	TooOld  int // so many first ones are older than 14 days
	Expired int // so many first ones are older than the group keeps events
	TooNew  int // so many last ones are more than two hours ahead
}

// reason tells why event i of n was rejected, or "".
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

// Clock is where time comes from.
type Clock struct {
	Now func() time.Time
	// Wait returns after a time, or with the context's error.
	Wait func(context.Context, time.Duration) error
}

// Settings are what a sender is made of.
type Settings struct {
	Clock Clock
	// Limiter is the account's; senders of one account share it.
	Limiter *RateLimiter
	// Retention of groups that are created, in days; 0 keeps events for ever.
	Retention int
	// Backoff is the first pause after a failure; it doubles up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// Jitter scales a pause at random, so that nodes do not come back together.
	Jitter func(time.Duration) time.Duration
	// OnDelivered is told of each event that is stored, with the mark it came with.
	OnDelivered func(mark any)
	// OnError is told of errors, for a log.
	OnError func(error)
}

// Sender delivers.
type Sender struct {
	service  Service
	settings Settings
	Ledger   Ledger

	ctx    context.Context //nolint:containedctx // of the lanes, which outlive calls
	cancel context.CancelFunc

	queueRuns sync.WaitGroup
	mu        sync.Mutex
	queues    map[Stream]*streamQueue
}

// Stream is where events go.
type Stream struct {
	Group, Name string
	Class       Class
}

// New returns a sender; Close ends it.
func New(service Service, set Settings) *Sender {
	life, end := context.WithCancel(context.Background())
	return &Sender{service: service, settings: set, ctx: life, cancel: end, queues: map[Stream]*streamQueue{}}
}

// Stop ends requests under way and all that waits: it is not delivered.
func (s *Sender) Stop() { s.cancel() }

// Close stops and waits until all has ended. Nobody may deliver any more.
func (s *Sender) Close() {
	s.cancel()
	s.queueRuns.Wait()
}

// maxQueues is how many streams are remembered while nothing waits for them.
const maxQueues = 4096

func (s *Sender) acquire(to Stream) *streamQueue {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.queues[to]
	if l == nil {
		if len(s.queues) >= maxQueues {
			s.removeUnused()
		}
		l = &streamQueue{sender: s, stream: to, maxEvents: maxBatchEvents}
		s.queues[to] = l
	}
	l.users++
	return l
}

func (s *Sender) release(l *streamQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
}

// removeUnused drops the lanes that nobody uses.
func (s *Sender) removeUnused() {
	for to, l := range s.queues {
		if l.users == 0 {
			delete(s.queues, to)
		}
	}
}

// Item is one event on its way.
type Item struct {
	Time  int64  // milliseconds since 1970
	Size  int    // bytes of the message
	Entry []byte // an element of logEvents
	Data  any    // handed to Settings.Delivered

	// Settled tells that the event needs no more: it was stored, or rejected.
	Settled bool
	// Unsure tells that an answer was lost: the event may be stored already.
	Unsure bool
}

// Deliver delivers items to a stream, until all are settled or the context
// ends, and tells whether all are. Items are in order of time. Afterwards
// nothing is under way, and entries may be used for something else.
func (s *Sender) Deliver(ctx context.Context, to Stream, items []*Item) bool {
	if len(items) == 0 {
		return true
	}
	l := s.acquire(to)
	defer s.release(l)
	p := &pendingBatch{items: items, done: make(chan struct{})}
	l.add(p)
	select {
	case <-p.done:
	case <-ctx.Done():
		l.cancel(p)
		<-p.done
	}
	return p.next == len(p.items)
}
