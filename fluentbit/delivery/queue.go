package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// streamQueue sends the events of one stream, one request at a time. Each request
// takes what is pending when it starts.
type streamQueue struct {
	sender *Sender
	stream Stream
	users  int // guarded by the sender's mutex

	mu      sync.Mutex
	pending []*pendingBatch
	running bool

	// The remaining fields belong to the goroutine of run.
	maxEvents      int // of a request; smaller while the service refuses a larger one
	failures       int // in a row
	groupRetention retention
}

// pendingBatch holds the items that one caller wants delivered. Items before next
// are settled; a request under way carries items from next on.
type pendingBatch struct {
	items    []*Item
	next     int
	inFlight bool // a request carries some of the items
	canceled bool // the caller gave up
	done     chan struct{}
}

func (q *streamQueue) add(p *pendingBatch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(q.pending, p)
	if !q.running {
		q.running = true
		q.sender.queueRuns.Go(q.run)
	}
}

// cancel removes a batch. If a request carries some of its items, the batch is
// done when the request ends.
func (q *streamQueue) cancel(p *pendingBatch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.canceled = true
	if !p.inFlight {
		q.removeFinished()
	}
}

// removeFinished removes the batches that are complete or canceled. The caller
// holds the mutex.
func (q *streamQueue) removeFinished() {
	kept := q.pending[:0]
	for _, p := range q.pending {
		if p.inFlight || !p.canceled && p.next < len(p.items) {
			kept = append(kept, p)
			continue
		}
		close(p.done)
	}
	clear(q.pending[len(kept):])
	q.pending = kept
}

// run sends until nothing is pending; add starts it again. A panic of ours ends
// this run and not the process, which is Fluent Bit's.
func (q *streamQueue) run() {
	defer func() {
		if reason := recover(); reason != nil {
			q.sender.reportError(fmt.Errorf("deliver to %s: panic: %v", q.stream.Name, reason))
			q.giveUp()
		}
	}()
	for q.hasPending() {
		if err := q.sender.settings.Limiter.Wait(q.sender.ctx, q.sender.settings.Clock); err != nil {
			q.giveUp()
			return
		}
		if r := q.nextRequest(); len(r.items) > 0 {
			err := q.send(r)
			q.endRequest()
			q.afterRequest(err, r)
		}
	}
}

func (q *streamQueue) hasPending() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = len(q.pending) > 0
	return q.running
}

// giveUp cancels all batches. Items of a request under way may be stored.
func (q *streamQueue) giveUp() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.pending {
		for _, item := range p.items[p.next:] {
			item.Unsure = item.Unsure || p.inFlight
		}
		p.canceled, p.inFlight = true, false
	}
	q.removeFinished()
	q.running = false
}

func (q *streamQueue) endRequest() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.pending {
		p.inFlight = false
	}
	q.removeFinished()
}

// send sends a request and settles the items that the response decides.
func (q *streamQueue) send(r request) error {
	s := q.sender
	counters := s.Ledger.Class(q.stream.Class)
	for _, item := range r.items {
		if item.Unsure {
			counters.Resent.Add(1)
		}
	}
	s.Ledger.Requests.Add(1)
	rejected, err := s.service.Put(s.ctx, q.stream.Group, q.stream.Name, r.entries())
	switch {
	case err == nil:
		q.countOutcome(r, rejected)
	case errors.Is(err, ErrResponseLost):
		for _, item := range r.items {
			item.Unsure = true
		}
	case errors.Is(err, ErrInvalid) && len(r.items) == 1:
		counters.addRejected(Invalid)
		s.reportError(fmt.Errorf("store an event of %s: %w", q.stream.Name, err))
		q.markSettled(r)
		err = nil
	}
	if err != nil {
		counters.Retried.Add(int64(len(r.items)))
	}
	return err
}

// countOutcome counts each event of a request that the service answered.
func (q *streamQueue) countOutcome(r request, rejected Rejected) {
	s, n := q.sender, len(r.items)
	counters := s.Ledger.Class(q.stream.Class)
	for i, item := range r.items {
		if reason := rejected.reason(i, n); reason != "" {
			counters.addRejected(reason)
			continue
		}
		counters.Delivered.Add(1)
		if s.settings.OnDelivered != nil {
			s.settings.OnDelivered(item.Data)
		}
	}
	s.Ledger.recordLag(s.settings.Clock.Now(), r.items[0].Time)
	q.markSettled(r)
}

func (q *streamQueue) markSettled(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range r.items {
		item.Settled = true
	}
	for _, part := range r.parts {
		part.batch.next += part.n
	}
}

// afterRequest prepares the next request according to the outcome of the last.
func (q *streamQueue) afterRequest(err error, r request) {
	s, now := q.sender, q.sender.settings.Clock.Now()
	if err == nil {
		s.Ledger.recordSuccess()
	} else {
		s.Ledger.recordFailure(now)
	}
	switch {
	case err == nil:
		s.settings.Limiter.Succeeded(now)
		q.maxEvents, q.failures = min(2*q.maxEvents, maxBatchEvents), 0
		q.setRetention(now)
	case errors.Is(err, ErrThrottled):
		s.Ledger.Throttled.Add(1)
		s.settings.Limiter.Throttled(now)
	case errors.Is(err, ErrInvalid):
		q.maxEvents = max(1, len(r.items)/2) // find the event that the service refuses by halving
		s.reportError(fmt.Errorf("store %d events of %s: %w", len(r.items), q.stream.Name, err))
	case errors.Is(err, ErrNotFound):
		q.ensureStream(now)
	default:
		s.reportError(fmt.Errorf("store %d events of %s: %w", len(r.items), q.stream.Name, err))
		q.backOff()
	}
}

// ensureStream creates the stream and, if needed, its group. A new stream may
// take a moment to be known everywhere, so only the first attempt is followed by
// a request at once.
func (q *streamQueue) ensureStream(now time.Time) {
	err := q.createStream(now)
	if err != nil {
		q.sender.reportError(err)
	}
	if errors.Is(err, ErrThrottled) {
		q.sender.settings.Limiter.Throttled(now)
	}
	if err != nil || q.failures > 0 {
		q.backOff()
		return
	}
	q.failures++
}

// backOff waits after a failure, twice as long after each further one in a row.
func (q *streamQueue) backOff() {
	s := q.sender
	d := min(s.settings.Backoff<<min(q.failures, 16), s.settings.MaxBackoff)
	q.failures++
	if s.settings.Jitter != nil {
		d = s.settings.Jitter(d)
	}
	_ = s.settings.Clock.Wait(s.ctx, d) // run sees by itself that ctx has ended
}

func (q *streamQueue) createStream(now time.Time) error {
	s := q.sender
	err := s.service.CreateStream(s.ctx, q.stream.Group, q.stream.Name)
	if errors.Is(err, ErrNotFound) {
		switch err = s.service.CreateGroup(s.ctx, q.stream.Group); {
		case err == nil:
			s.Ledger.Created.Add(1)
			q.groupRetention.pending = s.settings.Retention > 0
			q.setRetention(now)
		case errors.Is(err, ErrResponseLost): // the group did not exist before, so it is ours if it exists now
			q.groupRetention.pending = s.settings.Retention > 0
			return fmt.Errorf("create log group %s: %w", q.stream.Group, err)
		case !errors.Is(err, ErrAlreadyExists):
			return fmt.Errorf("create log group %s: %w", q.stream.Group, err)
		}
		err = s.service.CreateStream(s.ctx, q.stream.Group, q.stream.Name)
	}
	if err != nil && !errors.Is(err, ErrAlreadyExists) {
		return fmt.Errorf("create log stream %s: %w", q.stream.Name, err)
	}
	s.Ledger.Created.Add(1)
	return nil
}

// retention says whether a group that was created still needs its retention, and
// when to try again after a failure.
type retention struct {
	pending bool
	next    time.Time
	delay   time.Duration
}

// The time between two attempts to set a retention. It doubles after each failure:
// a missing permission does not come back within a second.
const (
	minRetentionDelay = time.Minute
	maxRetentionDelay = time.Hour
)

// setRetention sets the retention of a group that was created. Events are stored
// without it, so a failure is retried after a later request.
func (q *streamQueue) setRetention(now time.Time) {
	r := &q.groupRetention
	if !r.pending || now.Before(r.next) {
		return
	}
	s := q.sender
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	if err := s.service.SetRetention(ctx, q.stream.Group, s.settings.Retention); err != nil {
		r.delay = min(max(2*r.delay, minRetentionDelay), maxRetentionDelay)
		r.next = now.Add(r.delay)
		s.reportError(fmt.Errorf("set retention of %s: %w", q.stream.Group, err))
		return
	}
	*r = retention{}
}

func (s *Sender) reportError(err error) {
	if s.settings.OnError != nil && s.ctx.Err() == nil {
		s.settings.OnError(err)
	}
}
