package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/delivery"
)

// fake is a service made of functions.
type fake struct {
	t   *testing.T
	put func(n int, entries [][]byte) (delivery.Rejected, error)
	// createGroup and setRetention return an error instead of success.
	createGroup, setRetention func() error

	mu      sync.Mutex
	calls   []string
	batches [][]string
}

func (f *fake) call(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fake) Put(_ context.Context, _, stream string, entries [][]byte) (delivery.Rejected, error) {
	f.mu.Lock()
	var batch []string
	for _, e := range entries {
		batch = append(batch, string(e))
	}
	f.batches = append(f.batches, batch)
	n := len(f.batches) - 1
	f.mu.Unlock()
	f.call("put %d to %s", len(entries), stream)
	if f.put == nil {
		return delivery.Rejected{}, nil
	}
	return f.put(n, entries)
}

func (f *fake) CreateGroup(_ context.Context, group string) error {
	f.call("create group %s", group)
	if f.createGroup != nil {
		return f.createGroup()
	}
	return nil
}

func (f *fake) CreateStream(_ context.Context, _, stream string) error {
	f.mu.Lock()
	grouped := slices.Contains(f.calls, "create group g")
	f.mu.Unlock()
	f.call("create stream %s", stream)
	if !grouped {
		return delivery.ErrNotFound
	}
	return nil
}

func (f *fake) SetRetention(_ context.Context, group string, days int) error {
	f.call("retain %s for %d days", group, days)
	if f.setRetention != nil {
		return f.setRetention()
	}
	return nil
}

// bubble is the clock inside a synctest bubble.
var bubble = delivery.Clock{Now: time.Now, Wait: func(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}}

func sender(f *fake, set delivery.Settings) *delivery.Sender {
	set.Clock, set.Limiter, set.Backoff, set.MaxBackoff = bubble, delivery.NewRateLimiter(), 100*time.Millisecond, 5*time.Second
	return delivery.New(f, set)
}

var stream = delivery.Stream{Group: "g", Name: "s"}

// items returns items of the given sizes, a millisecond apart, whose entries are
// numbers.
func items(sizes ...int) (all []*delivery.Item) {
	for i, size := range sizes {
		all = append(all, &delivery.Item{Time: int64(i), Size: size, Entry: []byte(fmt.Sprint(i))})
	}
	return all
}

func repeat(n, size int) []int { return slices.Repeat([]int{size}, n) }

func lengths(batches [][]string) (all []int) {
	for _, b := range batches {
		all = append(all, len(b))
	}
	return all
}

func TestSender_Deliver_RequestLimits(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	at := func(times ...int64) []*delivery.Item {
		all := items(repeat(len(times), 1)...)
		for i := range all {
			all[i].Time = times[i]
		}
		return all
	}
	cases := map[string]struct {
		items []*delivery.Item
		want  []int
	}{
		"as many events as fit":    {items(repeat(10_000, 10)...), []int{10_000}},
		"an event more":            {items(repeat(10_001, 10)...), []int{10_000, 1}},
		"to the byte":              {items(repeat(8, 131_072-26)...), []int{8}},
		"a byte more":              {items(append(repeat(7, 131_072-26), 131_072-25)...), []int{7, 1}},
		"a day":                    {at(0, day), []int{2}},
		"more than a day":          {at(0, 1, day+1, day+2), []int{2, 2}},
		"events of a million":      {items(repeat(3, 999_974)...), []int{1, 1, 1}},
		"a large one in the midst": {items(60_000, 999_974, 10), []int{1, 2}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{t: t}
				s := sender(f, delivery.Settings{})
				defer s.Close()
				if !s.Deliver(t.Context(), stream, c.items) {
					t.Error("not delivered")
				}
				if diff := cmp.Diff(c.want, lengths(f.batches)); diff != "" {
					t.Errorf("events of requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Batches that are pending when a request ends share the next one, in order of
// time, and each caller gets its own result.
func TestSender_Deliver_SharesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(int, [][]byte) (delivery.Rejected, error) {
			time.Sleep(time.Second)
			return delivery.Rejected{}, nil
		}}
		s := sender(f, delivery.Settings{})
		defer s.Close()
		var delivering sync.WaitGroup
		for caller := range 8 {
			delivering.Go(func() {
				time.Sleep(time.Duration(caller) * time.Millisecond)
				mine := items(1, 1, 1)
				for i := range mine {
					mine[i].Time = int64(10*i + caller)
					mine[i].Entry = []byte(fmt.Sprintf("%02d", mine[i].Time))
				}
				if !s.Deliver(t.Context(), stream, mine) || !mine[2].Settled {
					t.Errorf("caller %d was not served", caller)
				}
			})
		}
		delivering.Wait()
		if diff := cmp.Diff([]int{3, 21}, lengths(f.batches)); diff != "" {
			t.Errorf("events of requests (-want +got):\n%s", diff)
		}
		if !slices.IsSorted(f.batches[1]) {
			t.Errorf("not in order of time: %v", f.batches[1])
		}
	})
}

func TestSender_Deliver_CountsRejectedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(int, [][]byte) (delivery.Rejected, error) {
			return delivery.Rejected{TooOld: 2, Expired: 3, TooNew: 4}, nil
		}}
		s := sender(f, delivery.Settings{})
		defer s.Close()
		if !s.Deliver(t.Context(), stream, items(repeat(10, 1)...)) {
			t.Error("rejected events are settled too")
		}
		a := s.Ledger.Class(delivery.Pods)
		got := []int64{a.Delivered.Load(), a.Rejected(delivery.TooOld), a.Rejected(delivery.Expired), a.Rejected(delivery.TooNew)}
		if diff := cmp.Diff([]int64{3, 2, 1, 4}, got); diff != "" {
			t.Errorf("delivered, too old, expired, too new (-want +got):\n%s", diff)
		}
	})
}

// An event that the service refuses does not prevent its neighbours from being
// stored.
func TestSender_Deliver_IsolatesInvalidEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var taken int
		f := &fake{t: t, put: func(_ int, entries [][]byte) (delivery.Rejected, error) {
			for _, e := range entries {
				if string(e) == "700" {
					return delivery.Rejected{}, fmt.Errorf("put: %w", delivery.ErrInvalid)
				}
			}
			taken += len(entries)
			return delivery.Rejected{}, nil
		}}
		s := sender(f, delivery.Settings{})
		defer s.Close()
		if !s.Deliver(t.Context(), stream, items(repeat(1000, 1)...)) {
			t.Error("not settled")
		}
		if n := s.Ledger.Class(delivery.Pods).Rejected(delivery.Invalid); n != 1 || taken != 999 {
			t.Errorf("%d rejected, %d taken", n, taken)
		}
		if len(f.batches) > 40 {
			t.Errorf("it took %d requests", len(f.batches))
		}
	})
}

func TestSender_Deliver_CreatesStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(n int, _ [][]byte) (delivery.Rejected, error) {
			if n == 0 {
				return delivery.Rejected{}, fmt.Errorf("put: %w", delivery.ErrNotFound)
			}
			return delivery.Rejected{}, nil
		}}
		s := sender(f, delivery.Settings{Retention: 30})
		defer s.Close()
		s.Deliver(t.Context(), stream, items(1))
		want := []string{"put 1 to s", "create stream s", "create group g", "retain g for 30 days", "create stream s", "put 1 to s"}
		if diff := cmp.Diff(want, f.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

// A group is ours too if the response to its creation was lost.
func TestSender_Deliver_SetsRetentionAfterLostResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(n int, _ [][]byte) (delivery.Rejected, error) {
			return delivery.Rejected{}, []error{delivery.ErrNotFound, delivery.ErrNotFound, nil}[n]
		}}
		first := true
		f.createGroup = func() error {
			if first {
				first = false
				return fmt.Errorf("create: %w", delivery.ErrResponseLost)
			}
			return delivery.ErrAlreadyExists
		}
		s := sender(f, delivery.Settings{Retention: 30})
		defer s.Close()
		s.Deliver(t.Context(), stream, items(1))
		synctest.Wait()
		if !slices.Contains(f.calls, "retain g for 30 days") {
			t.Errorf("calls are %q", f.calls)
		}
	})
}

// A retention that is denied is not asked for after every request.
func TestSender_Deliver_RetentionDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(n int, _ [][]byte) (delivery.Rejected, error) {
			if n == 0 {
				return delivery.Rejected{}, fmt.Errorf("put: %w", delivery.ErrNotFound)
			}
			return delivery.Rejected{}, nil
		}}
		allowed := false
		f.setRetention = func() error {
			if allowed {
				return nil
			}
			return errors.New("denied")
		}
		s := sender(f, delivery.Settings{Retention: 30})
		defer s.Close()
		deliver := func(d time.Duration) (asked int) {
			f.calls = slices.DeleteFunc(f.calls, func(call string) bool { return call != "create group g" })
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				s.Deliver(t.Context(), stream, items(1))
			}
			for _, call := range f.calls {
				if call == "retain g for 30 days" {
					asked++
				}
			}
			return asked
		}
		if n := deliver(2 * time.Hour); n < 5 || n > 10 {
			t.Errorf("it was asked for %d times in two hours", n)
		}
		allowed = true
		if n := deliver(2 * time.Hour); n != 1 {
			t.Errorf("it was asked for %d times after it was allowed", n)
		}
	})
}

// Only events whose response was lost are counted as resent.
func TestSender_Deliver_CountsResentEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(n int, _ [][]byte) (delivery.Rejected, error) {
			return delivery.Rejected{}, []error{errors.New("denied"), delivery.ErrThrottled, delivery.ErrResponseLost, delivery.ErrThrottled, nil}[n]
		}}
		s := sender(f, delivery.Settings{})
		defer s.Close()
		mine := items(1, 1)
		if !s.Deliver(t.Context(), stream, mine) || !mine[0].Unsure {
			t.Errorf("items are %+v", *mine[0])
		}
		a := s.Ledger.Class(delivery.Pods)
		if diff := cmp.Diff([]int64{2, 8, 4}, []int64{a.Delivered.Load(), a.Retried.Load(), a.Resent.Load()}); diff != "" {
			t.Errorf("delivered, retried, resent (-want +got):\n%s", diff)
		}
	})
}

func TestSender_Deliver_Cancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(n int, entries [][]byte) (delivery.Rejected, error) {
			time.Sleep(3 * time.Second)
			for _, e := range entries {
				if e[0] == 'x' {
					t.Error("an entry was used after its caller had it back")
				}
			}
			return delivery.Rejected{}, nil
		}}
		s := sender(f, delivery.Settings{})
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		mine := items(append(repeat(8, 131_072-26), 1)...) // two requests' worth
		if s.Deliver(ctx, stream, mine) || !mine[0].Settled || mine[8].Settled {
			t.Errorf("the first settled %v, the last %v", mine[0].Settled, mine[8].Settled)
		}
		for _, i := range mine {
			i.Entry[0] = 'x'
		}
		if !s.Deliver(t.Context(), stream, items(1)) {
			t.Error("the next was not served")
		}
	})
}

func TestSender_Deliver_Panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported []error
		f := &fake{t: t, put: func(n int, _ [][]byte) (delivery.Rejected, error) {
			if n == 0 {
				panic("a mistake")
			}
			return delivery.Rejected{}, nil
		}}
		s := sender(f, delivery.Settings{OnError: func(err error) { reported = append(reported, err) }})
		defer s.Close()
		mine := items(1)
		if s.Deliver(t.Context(), stream, mine) || !mine[0].Unsure || len(reported) != 1 {
			t.Errorf("item %+v, reported %v", *mine[0], reported)
		}
		if !s.Deliver(t.Context(), stream, mine) {
			t.Error("the next attempt was not delivered")
		}
	})
}

func TestSender_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(int, [][]byte) (delivery.Rejected, error) { return delivery.Rejected{}, errors.New("away") }}
		s := sender(f, delivery.Settings{})
		result := make(chan bool)
		go func() { result <- s.Deliver(context.Background(), stream, items(1)) }()
		time.Sleep(time.Minute)
		s.Close()
		if <-result {
			t.Error("it was delivered")
		}
	})
}
