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
	Retain(ctx context.Context, group string, days int) error
}

// Errors of a Service.
var (
	ErrThrottled = errors.New("throttled")
	ErrMissing   = errors.New("no such group or stream")
	ErrExists    = errors.New("exists already")
	ErrInvalid   = errors.New("not acceptable")
	// ErrAnswerLost leaves open whether the events were stored.
	ErrAnswerLost = errors.New("answer lost")
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
	// Pace is the account's; senders of one account share it.
	Pace *Pace
	// Retention of groups that are created, in days; 0 keeps events for ever.
	Retention int
	// Backoff is the first pause after a failure; it doubles up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// Jitter scales a pause at random, so that nodes do not come back together.
	Jitter func(time.Duration) time.Duration
	// Delivered is told of each event that is stored, with the mark it came with.
	Delivered func(mark any)
	// Trouble is told of errors, for a log.
	Trouble func(error)
}

// Sender delivers.
type Sender struct {
	service Service
	set     Settings
	Ledger  Ledger

	life context.Context //nolint:containedctx // of the lanes, which outlive calls
	end  context.CancelFunc

	running sync.WaitGroup
	mu      sync.Mutex
	lanes   map[Stream]*lane
}

// Stream is where events go.
type Stream struct {
	Group, Name string
	Class       Class
}

// New returns a sender; Close ends it.
func New(service Service, set Settings) *Sender {
	life, end := context.WithCancel(context.Background())
	return &Sender{service: service, set: set, life: life, end: end, lanes: map[Stream]*lane{}}
}

// Stop ends requests under way and all that waits: it is not delivered.
func (s *Sender) Stop() { s.end() }

// Close stops and waits until all has ended. Nobody may deliver any more.
func (s *Sender) Close() {
	s.end()
	s.running.Wait()
}

// mostLanes is how many streams are remembered while nothing waits for them.
const mostLanes = 4096

func (s *Sender) lane(to Stream) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[to]
	if l == nil {
		if len(s.lanes) >= mostLanes {
			s.forget()
		}
		l = &lane{sender: s, stream: to, most: maxBatchEvents}
		s.lanes[to] = l
	}
	l.users++
	return l
}

func (s *Sender) leave(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
}

// forget drops the lanes that nobody uses.
func (s *Sender) forget() {
	for to, l := range s.lanes {
		if l.users == 0 {
			delete(s.lanes, to)
		}
	}
}

// Item is one event on its way.
type Item struct {
	Time  int64  // milliseconds since 1970
	Size  int    // bytes of the message
	Entry []byte // an element of logEvents
	Mark  any    // handed to Settings.Delivered

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
	l := s.lane(to)
	defer s.leave(l)
	p := &parcel{items: items, done: make(chan struct{})}
	l.submit(p)
	select {
	case <-p.done:
	case <-ctx.Done():
		l.abandon(p)
		<-p.done
	}
	return p.next == len(p.items)
}
