package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A lane is the way to one stream: one request at a time, which takes what waits.
type lane struct {
	sender *Sender
	stream Stream
	users  int // guarded by the sender's lock

	mu      sync.Mutex
	waiting []*parcel
	running bool

	// The rest belongs to the goroutine that runs the lane.
	most     int // events in a request: fewer while one is not acceptable
	failures int // in a row
	unkept   bool
}

// A parcel is what one caller wants delivered. Its items before next are
// settled; those of a request under way begin there.
type parcel struct {
	items  []*Item
	next   int
	flying bool // some are in a request
	gone   bool // the caller gave up
	done   chan struct{}
}

func (l *lane) submit(p *parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, p)
	if !l.running {
		l.running = true
		l.sender.running.Go(l.run)
	}
}

// abandon takes the parcel out. A request that has some of it goes on, and the
// parcel is done when it ends.
func (l *lane) abandon(p *parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.gone = true
	if !p.flying {
		l.finish()
	}
}

// finish lets go of the parcels that need no more. The lock is held.
func (l *lane) finish() {
	kept := l.waiting[:0]
	for _, p := range l.waiting {
		if p.flying || !p.gone && p.next < len(p.items) {
			kept = append(kept, p)
			continue
		}
		close(p.done)
	}
	clear(l.waiting[len(kept):])
	l.waiting = kept
}

// run ends when nothing waits, and begins again with the next parcel. A mistake
// of ours ends it early, and never the process, which is somebody else's.
func (l *lane) run() {
	defer func() {
		if r := recover(); r != nil {
			l.sender.trouble(fmt.Errorf("deliver to %s: panic: %v", l.stream.Name, r))
			l.surrender()
		}
	}()
	for l.busy() {
		if err := l.sender.set.Pace.wait(l.sender.life, l.sender.set.Clock); err != nil {
			l.surrender()
			return
		}
		if b := l.gather(); len(b.items) > 0 {
			err := l.put(b)
			l.land()
			l.recover(err, b)
		}
	}
}

func (l *lane) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = len(l.waiting) > 0
	return l.running
}

// surrender gives everything up. What is in a request then may be stored.
func (l *lane) surrender() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.waiting {
		for _, item := range p.items[p.next:] {
			item.Unsure = item.Unsure || p.flying
		}
		p.gone, p.flying = true, false
	}
	l.finish()
	l.running = false
}

// land ends a request for the parcels that were in it.
func (l *lane) land() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.waiting {
		p.flying = false
	}
	l.finish()
}

// put sends a batch and settles what the answer tells of.
func (l *lane) put(b batch) error {
	s := l.sender
	class := s.Ledger.Of(l.stream.Class)
	for _, i := range b.items {
		if i.Unsure {
			class.Resent.Add(1)
		}
	}
	s.Ledger.Requests.Add(1)
	rejected, err := s.service.Put(s.life, l.stream.Group, l.stream.Name, b.entries())
	switch {
	case err == nil:
		l.settle(b, rejected)
	case errors.Is(err, ErrAnswerLost):
		for _, i := range b.items {
			i.Unsure = true
		}
	case errors.Is(err, ErrInvalid) && len(b.items) == 1:
		class.reject(Invalid)
		s.trouble(fmt.Errorf("store an event of %s: %w", l.stream.Name, err))
		l.advance(b)
		err = nil
	}
	if err != nil {
		class.Retried.Add(int64(len(b.items)))
	}
	return err
}

// settle books each event of a request that was answered.
func (l *lane) settle(b batch, rejected Rejected) {
	s, n := l.sender, len(b.items)
	class := s.Ledger.Of(l.stream.Class)
	for i, item := range b.items {
		if reason := rejected.reason(i, n); reason != "" {
			class.reject(reason)
			continue
		}
		class.Delivered.Add(1)
		if s.set.Delivered != nil {
			s.set.Delivered(item.Mark)
		}
	}
	s.Ledger.lag(s.set.Clock.Now(), b.items[0].Time)
	l.advance(b)
}

// advance marks the batch's items as settled.
func (l *lane) advance(b batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, item := range b.items {
		item.Settled = true
	}
	for _, part := range b.parts {
		part.parcel.next += part.n
	}
}

// recover does what the outcome of a request asks for.
func (l *lane) recover(err error, b batch) {
	s, now := l.sender, l.sender.set.Clock.Now()
	switch {
	case err == nil:
		s.set.Pace.Delivered(now)
		l.most, l.failures = min(2*l.most, maxBatchEvents), 0
		l.keep()
	case errors.Is(err, ErrThrottled):
		s.Ledger.Throttled.Add(1)
		s.set.Pace.Throttled(now)
	case errors.Is(err, ErrInvalid):
		l.most = max(1, len(b.items)/2) // one of the halves is acceptable, or a half of it
		s.trouble(fmt.Errorf("store %d events of %s: %w", len(b.items), l.stream.Name, err))
	case errors.Is(err, ErrMissing):
		l.heal(now)
	default:
		s.trouble(fmt.Errorf("store %d events of %s: %w", len(b.items), l.stream.Name, err))
		l.pause()
	}
}

// heal makes what is missing. What was just made may take a moment to be known
// everywhere, so only the first attempt goes on at once.
func (l *lane) heal(now time.Time) {
	err := l.create()
	if err != nil {
		l.sender.trouble(err)
	}
	if errors.Is(err, ErrThrottled) {
		l.sender.set.Pace.Throttled(now)
	}
	if err != nil || l.failures > 0 {
		l.pause()
		return
	}
	l.failures++
}

// pause waits after a failure, longer after each in a row.
func (l *lane) pause() {
	s := l.sender
	d := min(s.set.Backoff<<min(l.failures, 16), s.set.MaxBackoff)
	l.failures++
	if s.set.Jitter != nil {
		d = s.set.Jitter(d)
	}
	_ = s.set.Clock.Wait(s.life, d) // the lane sees by itself that life is over
}

// create makes the stream, and the group where that is missing too.
func (l *lane) create() error {
	s := l.sender
	err := s.service.CreateStream(s.life, l.stream.Group, l.stream.Name)
	if errors.Is(err, ErrMissing) {
		switch err = s.service.CreateGroup(s.life, l.stream.Group); {
		case err == nil:
			s.Ledger.Created.Add(1)
			l.unkept = s.set.Retention > 0
			l.keep()
		case errors.Is(err, ErrAnswerLost): // it was missing a moment ago: if it is there next time, it is ours
			l.unkept = s.set.Retention > 0
			return fmt.Errorf("create log group %s: %w", l.stream.Group, err)
		case !errors.Is(err, ErrExists):
			return fmt.Errorf("create log group %s: %w", l.stream.Group, err)
		}
		err = s.service.CreateStream(s.life, l.stream.Group, l.stream.Name)
	}
	if err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("create log stream %s: %w", l.stream.Name, err)
	}
	s.Ledger.Created.Add(1)
	return nil
}

// keep sets the retention of a group that was created. That it cannot is no
// reason not to store: it is tried again after the next request.
func (l *lane) keep() {
	if !l.unkept {
		return
	}
	s := l.sender
	ctx, cancel := context.WithTimeout(s.life, 5*time.Second)
	defer cancel()
	if err := s.service.Retain(ctx, l.stream.Group, s.set.Retention); err != nil {
		s.trouble(fmt.Errorf("set retention of %s: %w", l.stream.Group, err))
		return
	}
	l.unkept = false
}

func (s *Sender) trouble(err error) {
	if s.set.Trouble != nil && s.life.Err() == nil {
		s.set.Trouble(err)
	}
}
