package delivery

import (
	"context"
	"sync"
	"time"
)

// RateLimiter spaces the requests to one account. The service throttles an
// account and region as a whole and does not say at what rate, so the limiter
// finds the rate: it increases steadily and is halved when a request is
// throttled. That lets the nodes of a cluster converge to equal shares.
type RateLimiter struct {
	// head is held by the first of those that wait. Only it has a place in time,
	// so everybody behind it starts at the rate of the moment they get there.
	head chan struct{}

	mu        sync.Mutex
	rate      float64   // requests a second
	last      time.Time // when the latest request started
	increased time.Time
	throttled time.Time
}

// The bounds of the rate, in requests a second.
const (
	maxRate      = 200
	minRate      = 0.2
	rateIncrease = 2 // a second
)

// NewRateLimiter returns a limiter at the highest rate: most accounts never
// throttle a node.
func NewRateLimiter() *RateLimiter {
	return &RateLimiter{rate: maxRate, head: make(chan struct{}, 1)}
}

// Rate returns the current rate, in requests a second.
func (l *RateLimiter) Rate() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}

// Wait returns when the next request may start, or with the error of ctx.
func (l *RateLimiter) Wait(ctx context.Context, clock Clock) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.head <- struct{}{}:
		defer func() { <-l.head }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		d := l.reserve(clock.Now())
		if d <= 0 {
			return nil
		}
		if err := clock.Wait(ctx, d); err != nil {
			return err
		} // the rate may have been halved meanwhile: then there is more to wait
	}
}

// reserve returns how long the next request has to wait. If that is nothing, the
// request counts as started.
func (l *RateLimiter) reserve(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	interval := time.Duration(float64(time.Second) / l.rate)
	if l.last.IsZero() || now.Sub(l.last) >= interval || now.Before(l.last) {
		l.last = now
		return 0
	}
	return l.last.Add(interval).Sub(now)
}

// Succeeded lets the rate increase.
func (l *RateLimiter) Succeeded(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.increased.IsZero() {
		elapsed := min(now.Sub(l.increased), time.Second)
		l.rate = min(maxRate, l.rate+rateIncrease*elapsed.Seconds())
	}
	l.increased = now
}

// throttleWindow is the time within which throttled requests count as one event:
// they were under way together.
const throttleWindow = time.Second

// Throttled halves the rate. The next request waits a whole interval.
func (l *RateLimiter) Throttled(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.throttled.IsZero() && now.Sub(l.throttled) < throttleWindow {
		return
	}
	l.throttled, l.increased, l.last = now, now, now
	l.rate = max(minRate, l.rate/2)
}
