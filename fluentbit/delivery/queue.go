package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A lane is the way to one stream: one request at a time, which takes what waits.
type streamQueue struct {
	sender *Sender
	stream Stream
	users  int // guarded by the sender's lock

	mu      sync.Mutex
	pending []*pendingBatch
	running bool

	// The rest belongs to the goroutine that runs the lane.
	maxEvents        int // events in a request: fewer while one is not acceptable
	failures         int // in a row
	retentionPending bool
}

// A parcel is what one caller wants delivered. Its items before next are
// settled; those of a request under way begin there.
type pendingBatch struct {
	items    []*Item
	next     int
	inFlight bool // some are in a request
	canceled bool // the caller gave up
	done     chan struct{}
}

func (l *streamQueue) add(p *pendingBatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, p)
	if !l.running {
		l.running = true
		l.sender.queueRuns.Go(l.run)
	}
}

// cancel takes the parcel out. A request that has some of it goes on, and the
// parcel is done when it ends.
func (l *streamQueue) cancel(p *pendingBatch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.canceled = true
	if !p.inFlight {
		l.removeFinished()
	}
}

// removeFinished lets go of the parcels that need no more. The lock is held.
func (l *streamQueue) removeFinished() {
	kept := l.pending[:0]
	for _, p := range l.pending {
		if p.inFlight || !p.canceled && p.next < len(p.items) {
			kept = append(kept, p)
			continue
		}
		close(p.done)
	}
	clear(l.pending[len(kept):])
	l.pending = kept
}

// run ends when nothing waits, and begins again with the next parcel. A mistake
// of ours ends it early, and never the process, which is somebody else's.
func (l *streamQueue) run() {
	defer func() {
		if r := recover(); r != nil {
			l.sender.reportError(fmt.Errorf("deliver to %s: panic: %v", l.stream.Name, r))
			l.giveUp()
		}
	}()
	for l.hasPending() {
		if err := l.sender.settings.Limiter.wait(l.sender.ctx, l.sender.settings.Clock); err != nil {
			l.giveUp()
			return
		}
		if b := l.nextRequest(); len(b.items) > 0 {
			err := l.send(b)
			l.endRequest()
			l.afterRequest(err, b)
		}
	}
}

func (l *streamQueue) hasPending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = len(l.pending) > 0
	return l.running
}

// giveUp gives everything up. What is in a request then may be stored.
func (l *streamQueue) giveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pending {
		for _, item := range p.items[p.next:] {
			item.Unsure = item.Unsure || p.inFlight
		}
		p.canceled, p.inFlight = true, false
	}
	l.removeFinished()
	l.running = false
}

// endRequest ends a request for the parcels that were in it.
func (l *streamQueue) endRequest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pending {
		p.inFlight = false
	}
	l.removeFinished()
}

// send sends a batch and settles what the answer tells of.
func (l *streamQueue) send(b request) error {
	s := l.sender
	class := s.Ledger.Class(l.stream.Class)
	for _, i := range b.items {
		if i.Unsure {
			class.Resent.Add(1)
		}
	}
	s.Ledger.Requests.Add(1)
	rejected, err := s.service.Put(s.ctx, l.stream.Group, l.stream.Name, b.entries())
	switch {
	case err == nil:
		l.countOutcome(b, rejected)
	case errors.Is(err, ErrResponseLost):
		for _, i := range b.items {
			i.Unsure = true
		}
	case errors.Is(err, ErrInvalid) && len(b.items) == 1:
		class.addRejected(Invalid)
		s.reportError(fmt.Errorf("store an event of %s: %w", l.stream.Name, err))
		l.markSettled(b)
		err = nil
	}
	if err != nil {
		class.Retried.Add(int64(len(b.items)))
	}
	return err
}

// countOutcome books each event of a request that was answered.
func (l *streamQueue) countOutcome(b request, rejected Rejected) {
	s, n := l.sender, len(b.items)
	class := s.Ledger.Class(l.stream.Class)
	for i, item := range b.items {
		if reason := rejected.reason(i, n); reason != "" {
			class.addRejected(reason)
			continue
		}
		class.Delivered.Add(1)
		if s.settings.OnDelivered != nil {
			s.settings.OnDelivered(item.Data)
		}
	}
	s.Ledger.recordLag(s.settings.Clock.Now(), b.items[0].Time)
	l.markSettled(b)
}

// markSettled marks the batch's items as settled.
func (l *streamQueue) markSettled(b request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, item := range b.items {
		item.Settled = true
	}
	for _, part := range b.parts {
		part.batch.next += part.n
	}
}

// afterRequest does what the outcome of a request asks for.
func (l *streamQueue) afterRequest(err error, b request) {
	s, now := l.sender, l.sender.settings.Clock.Now()
	switch {
	case err == nil:
		s.settings.Limiter.Succeeded(now)
		l.maxEvents, l.failures = min(2*l.maxEvents, maxBatchEvents), 0
		l.setRetention()
	case errors.Is(err, ErrThrottled):
		s.Ledger.Throttled.Add(1)
		s.settings.Limiter.Throttled(now)
	case errors.Is(err, ErrInvalid):
		l.maxEvents = max(1, len(b.items)/2) // one of the halves is acceptable, or a half of it
		s.reportError(fmt.Errorf("store %d events of %s: %w", len(b.items), l.stream.Name, err))
	case errors.Is(err, ErrNotFound):
		l.ensureStream(now)
	default:
		s.reportError(fmt.Errorf("store %d events of %s: %w", len(b.items), l.stream.Name, err))
		l.backOff()
	}
}

// ensureStream makes what is missing. What was just made may take a moment to be known
// everywhere, so only the first attempt goes on at once.
func (l *streamQueue) ensureStream(now time.Time) {
	err := l.createStream()
	if err != nil {
		l.sender.reportError(err)
	}
	if errors.Is(err, ErrThrottled) {
		l.sender.settings.Limiter.Throttled(now)
	}
	if err != nil || l.failures > 0 {
		l.backOff()
		return
	}
	l.failures++
}

// backOff waits after a failure, longer after each in a row.
func (l *streamQueue) backOff() {
	s := l.sender
	d := min(s.settings.Backoff<<min(l.failures, 16), s.settings.MaxBackoff)
	l.failures++
	if s.settings.Jitter != nil {
		d = s.settings.Jitter(d)
	}
	_ = s.settings.Clock.Wait(s.ctx, d) // the lane sees by itself that life is over
}

// createStream makes the stream, and the group where that is missing too.
func (l *streamQueue) createStream() error {
	s := l.sender
	err := s.service.CreateStream(s.ctx, l.stream.Group, l.stream.Name)
	if errors.Is(err, ErrNotFound) {
		switch err = s.service.CreateGroup(s.ctx, l.stream.Group); {
		case err == nil:
			s.Ledger.Created.Add(1)
			l.retentionPending = s.settings.Retention > 0
			l.setRetention()
		case errors.Is(err, ErrResponseLost): // it was missing a moment ago: if it is there next time, it is ours
			l.retentionPending = s.settings.Retention > 0
			return fmt.Errorf("create log group %s: %w", l.stream.Group, err)
		case !errors.Is(err, ErrAlreadyExists):
			return fmt.Errorf("create log group %s: %w", l.stream.Group, err)
		}
		err = s.service.CreateStream(s.ctx, l.stream.Group, l.stream.Name)
	}
	if err != nil && !errors.Is(err, ErrAlreadyExists) {
		return fmt.Errorf("create log stream %s: %w", l.stream.Name, err)
	}
	s.Ledger.Created.Add(1)
	return nil
}

// setRetention sets the retention of a group that was created. That it cannot is no
// reason not to store: it is tried again after the next request.
func (l *streamQueue) setRetention() {
	if !l.retentionPending {
		return
	}
	s := l.sender
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	if err := s.service.SetRetention(ctx, l.stream.Group, s.settings.Retention); err != nil {
		s.reportError(fmt.Errorf("set retention of %s: %w", l.stream.Group, err))
		return
	}
	l.retentionPending = false
}

func (s *Sender) reportError(err error) {
	if s.settings.OnError != nil && s.ctx.Err() == nil {
		s.settings.OnError(err)
	}
}
