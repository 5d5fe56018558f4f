package delivery_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nova/novawire/fluentbit/delivery"
)

// account is an account with a quota of requests a second.
type account struct {
	mu      sync.Mutex
	quota   float64
	tokens  float64
	filled  time.Time
	refused int
	taken   int
}

func (a *account) request(l *delivery.RateLimiter, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = min(a.quota, a.tokens+now.Sub(a.filled).Seconds()*a.quota)
	if a.filled = now; a.tokens < 1 {
		a.refused++
		l.Throttled(now)
		return
	}
	a.tokens--
	a.taken++
	l.Succeeded(now)
}

// The limiter finds the quota of the account and recovers when it grows.
func TestRateLimiter_FindsQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := delivery.NewRateLimiter()
		a := &account{quota: 10, tokens: 10, filled: time.Now()}
		run := func(d time.Duration) (refused, taken int) {
			a.refused, a.taken = 0, 0
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if err := l.Wait(t.Context(), bubble); err != nil {
					t.Fatal(err)
				}
				a.request(l, time.Now())
			}
			return a.refused, a.taken
		}
		run(time.Minute)
		refused, taken := run(10 * time.Minute)
		if rate := float64(taken) / 600; rate < 5 || float64(refused)/float64(taken) > 0.1 {
			t.Errorf("%.1f requests a second of a quota of 10, %d refused of %d", rate, refused, taken)
		}
		a.quota = 1000
		run(3 * time.Minute)
		if l.Rate() < 190 {
			t.Errorf("rate is %.1f after the quota grew", l.Rate())
		}
	})
}

func TestRateLimiter_Throttled(t *testing.T) {
	l, now := delivery.NewRateLimiter(), time.Unix(1, 0)
	for range 20 { // requests that were under way together
		l.Throttled(now)
	}
	if l.Rate() != 100 {
		t.Errorf("rate is %v", l.Rate())
	}
	for i := range 100 {
		l.Throttled(now.Add(time.Duration(i) * time.Second))
	}
	if l.Rate() <= 0 {
		t.Errorf("rate is %v", l.Rate())
	}
}

// After an account has been throttled to the lowest rate, many streams wait. None
// of them keeps a place that was assigned at that rate.
func TestRateLimiter_Recovers(t *testing.T) {
	for name, streams := range map[string]int{"one stream": 1, "ten streams": 10, "a hundred streams": 100} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := delivery.NewRateLimiter()
				for range 12 {
					l.Throttled(time.Now())
					time.Sleep(time.Second)
				}
				began := time.Now()
				var waiting sync.WaitGroup
				for range streams {
					waiting.Go(func() {
						if err := l.Wait(t.Context(), bubble); err != nil {
							t.Error(err)
						}
						l.Succeeded(time.Now())
					})
				}
				waiting.Wait()
				if d := time.Since(began); d > 20*time.Second {
					t.Errorf("the last of %d streams waited for %s", streams, d)
				}
				for end := time.Now().Add(time.Minute); time.Now().Before(end); {
					if err := l.Wait(t.Context(), bubble); err != nil {
						t.Fatal(err)
					}
					l.Succeeded(time.Now())
				}
				began = time.Now()
				if err := l.Wait(t.Context(), bubble); err != nil || time.Since(began) > 100*time.Millisecond || l.Rate() < 100 {
					t.Errorf("the next request waits for %s at %.0f/s: %v", time.Since(began), l.Rate(), err)
				}
			})
		})
	}
}

func TestRateLimiter_Wait_Canceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := delivery.NewRateLimiter()
		for range 12 {
			l.Throttled(time.Now())
			time.Sleep(time.Second)
		}
		l.Throttled(time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				if l.Wait(ctx, bubble) == nil {
					t.Error("a canceled request started")
				}
			})
		}
		waiting.Wait()
	})
}
