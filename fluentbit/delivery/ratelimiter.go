package delivery

import (
	"context"
	"sync"
	"time"
)

// RateLimiter is how fast an account's requests may follow each other. The service
// throttles an account and Region as a whole and does not say at what rate, so
// the rate is found: it grows steadily and is halved when a request is
// throttled, which lets the nodes of a cluster come to equal shares.
type RateLimiter struct {
	mu        sync.Mutex
	rate      float64 // requests a second
	next      time.Time
	increased time.Time
	throttled time.Time
}

// The bounds of a pace, in requests a second.
const (
	maxRate      = 200
	minRate      = 0.2
	rateIncrease = 2 // a second
)

// NewRateLimiter begins at full speed: most accounts never throttle a node.
func NewRateLimiter() *RateLimiter { return &RateLimiter{rate: maxRate} }

// Rate is the current one, in requests a second.
func (p *RateLimiter) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate
}

// Reserve takes the next place in time and returns how long to wait for it.
func (p *RateLimiter) Reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(time.Second) / p.rate))
	return wait
}

// Succeeded lets the rate grow.
func (p *RateLimiter) Succeeded(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.increased.IsZero() {
		since := min(now.Sub(p.increased), time.Second)
		p.rate = min(maxRate, p.rate+rateIncrease*since.Seconds())
	}
	p.increased = now
}

// throttleWindow is how long requests that were throttled count as one event: they were
// under way together.
const throttleWindow = time.Second

// Throttled halves the rate, and keeps the next request for that long.
func (p *RateLimiter) Throttled(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.throttled.IsZero() && now.Sub(p.throttled) < throttleWindow {
		return
	}
	p.throttled, p.increased = now, now
	p.rate = max(minRate, p.rate/2)
	if next := now.Add(time.Duration(float64(time.Second) / p.rate)); next.After(p.next) {
		p.next = next
	}
}

func (p *RateLimiter) wait(ctx context.Context, clock Clock) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d := p.Reserve(clock.Now()); d > 0 {
		return clock.Wait(ctx, d)
	}
	return nil
}
