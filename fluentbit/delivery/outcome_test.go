package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/delivery"
)

var errDenied = errors.New("denied")

// script is a service whose calls return errors in order, then succeed.
type script struct {
	puts, streams, groups []error
	onPut                 func(n int)

	mu    sync.Mutex
	began time.Time
	times []time.Duration // of Put, since the first
	calls []string
}

func (s *script) next(call string, outcomes *[]error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	if len(*outcomes) == 0 {
		return nil
	}
	err := (*outcomes)[0]
	*outcomes = (*outcomes)[1:]
	return err
}

func (s *script) Put(context.Context, string, string, [][]byte) (delivery.Rejected, error) {
	s.mu.Lock()
	if s.times == nil {
		s.began = time.Now()
	}
	n := len(s.times)
	s.times = append(s.times, time.Since(s.began))
	s.mu.Unlock()
	if s.onPut != nil {
		s.onPut(n)
	}
	return delivery.Rejected{}, s.next("put", &s.puts)
}

func (s *script) CreateStream(context.Context, string, string) error {
	return s.next("create stream", &s.streams)
}

func (s *script) CreateGroup(context.Context, string) error { return s.next("create group", &s.groups) }

func (s *script) SetRetention(context.Context, string, int) error {
	return s.next("set retention", new([]error))
}

// outcome is what a delivery of one event leaves behind.
type outcome struct {
	Calls                        string
	Waits                        []time.Duration // between requests
	Requests, Throttled, Created int64
	Delivered, Retried, Invalid  int64
	Rate                         float64
	Reported                     []string
}

// What follows from each outcome of a request: the calls, the time until the next
// request, the counters, the rate of the account and what is reported.
func TestSender_Deliver_Outcomes(t *testing.T) {
	const interval = 5 * time.Millisecond // at the highest rate
	lost, throttled, missing := delivery.ErrResponseLost, delivery.ErrThrottled, delivery.ErrNotFound
	cases := map[string]struct {
		script    *script
		retention int
		jitter    time.Duration
		want      outcome
	}{
		"stored": {script: &script{}, want: outcome{Calls: "put", Requests: 1, Delivered: 1, Rate: 200}},
		"failed twice": {
			script: &script{puts: []error{errDenied, errDenied}},
			want: outcome{
				Calls: "put put put", Waits: []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}, Requests: 3, Delivered: 1, Retried: 2, Rate: 200,
				Reported: []string{"store 1 events of s: denied", "store 1 events of s: denied"},
			},
		},
		"failed, with jitter": {
			script: &script{puts: []error{errDenied}}, jitter: time.Second,
			want: outcome{Calls: "put put", Waits: []time.Duration{time.Second}, Requests: 2, Delivered: 1, Retried: 1, Rate: 200, Reported: []string{"store 1 events of s: denied"}},
		},
		"response lost": {
			script: &script{puts: []error{lost}},
			want:   outcome{Calls: "put put", Waits: []time.Duration{100 * time.Millisecond}, Requests: 2, Delivered: 1, Retried: 1, Rate: 200, Reported: []string{"store 1 events of s: response lost"}},
		},
		"throttled": {
			script: &script{puts: []error{throttled}},
			want:   outcome{Calls: "put put", Waits: []time.Duration{2 * interval}, Requests: 2, Throttled: 1, Delivered: 1, Retried: 1, Rate: 100 + 2*0.01},
		},
		"invalid": {
			script: &script{puts: []error{delivery.ErrInvalid}},
			want:   outcome{Calls: "put", Requests: 1, Invalid: 1, Rate: 200, Reported: []string{"store an event of s: invalid request"}},
		},
		"stream missing": {
			script: &script{puts: []error{missing}}, retention: 7,
			want: outcome{Calls: "put, create stream, put", Waits: []time.Duration{interval}, Requests: 2, Created: 1, Delivered: 1, Retried: 1, Rate: 200},
		},
		"group missing": {
			script: &script{puts: []error{missing}, streams: []error{missing}}, retention: 7,
			want: outcome{Calls: "put, create stream, create group, set retention, create stream, put", Waits: []time.Duration{interval}, Requests: 2, Created: 2, Delivered: 1, Retried: 1, Rate: 200},
		},
		"group missing, without a retention": {
			script: &script{puts: []error{missing}, streams: []error{missing}},
			want:   outcome{Calls: "put, create stream, create group, create stream, put", Waits: []time.Duration{interval}, Requests: 2, Created: 2, Delivered: 1, Retried: 1, Rate: 200},
		},
		"stream made by another node": {
			script: &script{puts: []error{missing}, streams: []error{delivery.ErrAlreadyExists}},
			want:   outcome{Calls: "put, create stream, put", Waits: []time.Duration{interval}, Requests: 2, Created: 1, Delivered: 1, Retried: 1, Rate: 200},
		},
		"stream not known everywhere yet": {
			script: &script{puts: []error{missing, missing}},
			want:   outcome{Calls: "put, create stream, put, create stream, put", Waits: []time.Duration{interval, 200 * time.Millisecond}, Requests: 3, Created: 2, Delivered: 1, Retried: 2, Rate: 200},
		},
		"stream denied": {
			script: &script{puts: []error{missing, missing}, streams: []error{errDenied}},
			want: outcome{
				Calls: "put, create stream, put, create stream, put", Waits: []time.Duration{100 * time.Millisecond, 200 * time.Millisecond},
				Requests: 3, Created: 1, Delivered: 1, Retried: 2, Rate: 200, Reported: []string{"create log stream s: denied"},
			},
		},
		"stream throttled": {
			script: &script{puts: []error{missing}, streams: []error{throttled}},
			want: outcome{
				Calls: "put, create stream, put", Waits: []time.Duration{100 * time.Millisecond}, Requests: 2, Delivered: 1, Retried: 1, Rate: 100 + 2*0.1,
				Reported: []string{"create log stream s: throttled"},
			},
		},
		"group denied": {
			script: &script{puts: []error{missing}, streams: []error{missing}, groups: []error{errDenied}},
			want: outcome{
				Calls: "put, create stream, create group, put", Waits: []time.Duration{100 * time.Millisecond}, Requests: 2, Delivered: 1, Retried: 1, Rate: 200,
				Reported: []string{"create log group g: denied"},
			},
		},
		"group's response lost, without a retention": {
			script: &script{puts: []error{missing, missing}, streams: []error{missing, missing}, groups: []error{lost, delivery.ErrAlreadyExists}},
			want: outcome{
				Calls: "put, create stream, create group, put, create stream, create group, create stream, put", Waits: []time.Duration{100 * time.Millisecond, 200 * time.Millisecond},
				Requests: 3, Created: 1, Delivered: 1, Retried: 2, Rate: 200, Reported: []string{"create log group g: response lost"},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limiter := delivery.NewRateLimiter()
				got := outcome{}
				set := delivery.Settings{
					Clock: bubble, Limiter: limiter, Retention: c.retention, Backoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second,
					OnError: func(err error) { got.Reported = append(got.Reported, err.Error()) },
				}
				if c.jitter > 0 {
					set.Jitter = func(time.Duration) time.Duration { return c.jitter }
				}
				s := delivery.New(c.script, set)
				if !s.Deliver(t.Context(), stream, items(1)) {
					t.Error("not settled")
				}
				s.Close()
				got.Calls = strings.Join(c.script.calls, ", ")
				if !strings.Contains(c.want.Calls, ",") {
					got.Calls = strings.Join(c.script.calls, " ")
				}
				for i := 1; i < len(c.script.times); i++ {
					got.Waits = append(got.Waits, c.script.times[i]-c.script.times[i-1])
				}
				counters := s.Ledger.Class(delivery.Pods)
				got.Requests, got.Throttled, got.Created = s.Ledger.Requests.Load(), s.Ledger.Throttled.Load(), s.Ledger.Created.Load()
				got.Delivered, got.Retried, got.Invalid = counters.Delivered.Load(), counters.Retried.Load(), counters.Rejected(delivery.Invalid)
				got.Rate = limiter.Rate()
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestLedger_LagAndFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *delivery.Sender
		failing := map[int]time.Duration{}
		service := &script{puts: []error{errDenied, errDenied}, onPut: func(n int) { failing[n] = s.Ledger.Failing(time.Now()) }}
		delivered := 0
		s = delivery.New(service, delivery.Settings{
			Clock: bubble, Limiter: delivery.NewRateLimiter(), Backoff: 100 * time.Millisecond, MaxBackoff: time.Second,
			OnDelivered: func(data any) {
				if data == "mark" {
					delivered++
				}
			},
		})
		defer s.Close()
		mine := items(1, 1)
		for i := range mine {
			mine[i].Time, mine[i].Data = time.Now().Add(-10*time.Second).UnixMilli(), "mark"
		}
		s.Deliver(t.Context(), stream, mine)
		if diff := cmp.Diff(map[int]time.Duration{0: 0, 1: 100 * time.Millisecond, 2: 300 * time.Millisecond}, failing); diff != "" {
			t.Errorf("failing at each request (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		if d := s.Ledger.Failing(time.Now()); d != 0 {
			t.Errorf("after a success it has been failing for %s", d)
		}
		if lag := s.Ledger.Lag(); lag != 10300*time.Millisecond || delivered != 2 {
			t.Errorf("lag is %s, %d were reported as delivered", lag, delivered)
		}
		s.Ledger.Class(delivery.Metrics).AddDropped(3)
		if n := s.Ledger.Class(delivery.Metrics).Rejected(delivery.Dropped); n != 3 {
			t.Errorf("%d are counted as dropped", n)
		}
		if !s.Deliver(t.Context(), stream, nil) || len(service.times) != 3 {
			t.Error("nothing to deliver took a request")
		}
	})
}

// Batches of one stream never go in two requests at once, and a request spans a day
// at most, whichever batch came first.
func TestSender_Deliver_ManyBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * 60 * 60 * 1000
		var mu sync.Mutex
		running, most := 0, 0
		var requests [][]string
		f := &fake{t: t}
		f.put = func(int, [][]byte) (delivery.Rejected, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return delivery.Rejected{}, nil
		}
		s := sender(f, delivery.Settings{})
		defer s.Close()
		var sending sync.WaitGroup
		for caller, at := range []int64{0, 2 * day, 0, 2*day + 1, 1} {
			sending.Go(func() {
				time.Sleep(time.Duration(caller) * time.Millisecond)
				mine := items(1)
				mine[0].Time, mine[0].Entry = at, []byte(fmt.Sprint(at))
				if !s.Deliver(t.Context(), stream, mine) {
					t.Error("not delivered")
				}
			})
		}
		sending.Wait()
		requests = f.batches
		want := [][]string{{"0"}, {"0", "1"}, {fmt.Sprint(2 * day), fmt.Sprint(2*day + 1)}}
		if diff := cmp.Diff(want, requests); diff != "" || most != 1 {
			t.Errorf("%d requests at once; requests (-want +got):\n%s", most, diff)
		}
	})
}

// A caller that gives up while nothing of its is under way returns at once.
func TestSender_Deliver_CancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(int, [][]byte) (delivery.Rejected, error) { return delivery.Rejected{}, errDenied }}
		s := delivery.New(f, delivery.Settings{Clock: bubble, Limiter: delivery.NewRateLimiter(), Backoff: time.Hour, MaxBackoff: time.Hour})
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if s.Deliver(ctx, stream, items(1)) || time.Since(began) != time.Second {
			t.Errorf("it returned after %s", time.Since(began))
		}
	})
}

// A batch that is given up while the limiter waits leaves no request behind.
func TestSender_Deliver_CancelWhileLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(_ int, entries [][]byte) (delivery.Rejected, error) {
			t.Errorf("a request with %d events", len(entries))
			return delivery.Rejected{}, nil
		}}
		limiter := delivery.NewRateLimiter()
		for range 12 {
			limiter.Throttled(time.Now())
			time.Sleep(2 * time.Second)
		}
		limiter.Throttled(time.Now())
		s := delivery.New(f, delivery.Settings{Clock: bubble, Limiter: limiter})
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s.Deliver(ctx, stream, items(1)) {
			t.Error("it was delivered")
		}
		time.Sleep(time.Minute)
	})
}

func TestSender_Stop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		f := &fake{t: t, put: func(int, [][]byte) (delivery.Rejected, error) {
			time.Sleep(3 * time.Second)
			ended = true
			return delivery.Rejected{}, errDenied
		}}
		s := sender(f, delivery.Settings{})
		result := make(chan bool, 1)
		go func() { result <- s.Deliver(context.Background(), stream, items(1)) }()
		time.Sleep(time.Second)
		s.Stop()
		if <-result {
			t.Error("it was delivered")
		}
		go s.Deliver(context.Background(), stream, items(1))
		s.Close()
		if !ended {
			t.Error("Close did not wait for the request under way")
		}
	})
}

// After an event that the service refuses, requests grow again at once.
func TestSender_Deliver_RequestsGrowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, put: func(_ int, entries [][]byte) (delivery.Rejected, error) {
			if slices.ContainsFunc(entries, func(e []byte) bool { return string(e) == "0" }) {
				return delivery.Rejected{}, delivery.ErrInvalid
			}
			return delivery.Rejected{}, nil
		}}
		s := sender(f, delivery.Settings{})
		defer s.Close()
		s.Deliver(t.Context(), stream, items(repeat(1024, 1)...))
		// Ten halvings find the event; then 2, 4, 8, …, and the rest.
		if n := len(f.batches); n > 22 {
			t.Errorf("it took %d requests: %v", n, lengths(f.batches))
		}
	})
}
