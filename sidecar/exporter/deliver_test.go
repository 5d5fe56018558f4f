package exporter

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
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// timed is an exporter in a bubble of time, with a sender of the test's.
type timed struct {
	*signalExporter
	all   *ledger.Ledger
	stats *ledger.Counters // of its signal
	logs  *observer.ObservedLogs
	begun time.Time

	mu       sync.Mutex
	attempts []attempt
	closed   bool // the sender
}

// attempt is one request to the sender.
type attempt struct {
	at    time.Duration // since the start
	items int
}

// senderFunc implements sender.
type senderFunc func(ctx context.Context, r request) result

func (f senderFunc) send(ctx context.Context, r request) result { return f(ctx, r) }

func (senderFunc) close() {}

// closing is a sender that notes its end.
type closing struct {
	senderFunc
	closed *bool
}

func (c closing) close() { *c.closed = true }

// answer decides about a request by its number.
type answer func(ctx context.Context, n int, r request) result

// inTime runs test in a bubble, with an exporter whose sender answers by answer.
func inTime(t *testing.T, change func(*Config), answer answer, test func(t *testing.T, e *timed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config := &Config{
			Timeout: 10 * time.Second, RetryLimit: 5 * time.Minute, FlushInterval: time.Second, DrainTimeout: 5 * time.Second,
			QueueBytes: 4000, Batch: wire.Limits{Bytes: 1000, Items: 100},
		}
		if change != nil {
			change(config)
		}
		core, logs := observer.New(zap.InfoLevel)
		e := &timed{all: new(ledger.Ledger), logs: logs, begun: time.Now()}
		e.stats = e.all.Counters(ledger.Traces)
		e.signalExporter = newSignalExporter(config, zap.New(core), ledger.Traces, e.stats, newDrain(), nil)
		e.sender = closing{closed: &e.closed, senderFunc: func(ctx context.Context, r request) result {
			e.mu.Lock()
			n := len(e.attempts)
			e.attempts = append(e.attempts, attempt{time.Since(e.begun), r.items})
			e.mu.Unlock()
			return answer(ctx, n, r)
		}}
		go e.run()
		test(t, e)
		if e.drain.life.Err() == nil {
			_ = e.Shutdown(t.Context())
		}
	})
}

func (e *timed) entry() ledger.Entry { return e.stats.Entry() }

func accept(context.Context, int, request) result { return result{} }

func busy(context.Context, int, request) result {
	return result{outcome: retryable, kind: "503", err: errors.New("backend is busy")}
}

func hang(ctx context.Context, _ int, _ request) result {
	<-ctx.Done()
	return result{outcome: retryable, kind: "connection", err: ctx.Err()}
}

func (e *timed) requests() []attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.attempts)
}

// gaps are the times between attempts.
func (e *timed) gaps() (gaps []time.Duration) {
	all := e.requests()
	for i := range all[1:] {
		gaps = append(gaps, all[i+1].at-all[i].at)
	}
	return gaps
}

// spans is an item of n spans.
func spans(n int) item {
	body := []byte{}
	for range n {
		body = append(body, 0x12, 0)
	}
	return item{body: append([]byte{0x0a, byte(len(body) + 2), 0x12, byte(len(body))}, body...), count: n, since: time.Now()}
}

func TestDeliver_BacksOff(t *testing.T) {
	inTime(t, nil, busy, func(t *testing.T, e *timed) {
		e.push(spans(5))
		time.Sleep(time.Hour)
		gaps := e.gaps()
		pause := firstPause
		for i, gap := range gaps[:len(gaps)-1] {
			if gap < pause/2 || gap > pause*3/2 {
				t.Errorf("pause %d is %s, want %s with a jitter of half of it", i, gap, pause)
			}
			pause = min(2*pause, lastPause)
		}
		if pause != lastPause {
			t.Errorf("the pauses grow to %s, want %s", pause, lastPause)
		}
		slices.Sort(gaps)
		if len(slices.Compact(gaps)) < len(gaps)/2 {
			t.Errorf("pauses have no jitter: %s", gaps)
		}
		all := e.requests()
		first, last := all[0].at, all[len(all)-1].at
		if first != time.Second || last != first+e.config.RetryLimit {
			t.Errorf("tried from %s to %s, want from the flush on for the retry limit", first, last)
		}
		if got := e.entry(); got.Dropped["retry_limit"] != 5 || e.stats.Entry().Exported != 0 {
			t.Errorf("the ledger has %+v", got)
		}
		if room := e.stats.Room(); room != e.config.QueueBytes {
			t.Errorf("the queue has room for %d bytes", room)
		}
	})
}

func TestDeliver_WaitsAsLongAsIsAsked(t *testing.T) {
	answer := func(ctx context.Context, n int, r request) result {
		if n > 2 {
			return result{}
		}
		busy := busy(ctx, n, r)
		busy.after = time.Minute
		return busy
	}
	inTime(t, nil, answer, func(t *testing.T, e *timed) {
		e.push(spans(5))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{time.Minute, time.Minute, time.Minute}, e.gaps()); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		if got := e.entry(); got.Exported != 5 || len(got.Dropped) != 0 {
			t.Errorf("the ledger has %+v", got)
		}
	})
}

// A request that does not end is given up after the timeout, and tried again.
func TestDeliver_Timeout(t *testing.T) {
	answer := func(ctx context.Context, n int, r request) result {
		if n > 0 {
			return result{}
		}
		return hang(ctx, n, r)
	}
	inTime(t, nil, answer, func(t *testing.T, e *timed) {
		e.push(spans(5))
		time.Sleep(time.Minute)
		if got := e.gaps(); len(got) != 1 || got[0] < 10*time.Second || got[0] > 11*time.Second {
			t.Errorf("tried again after %s, want after the timeout of 10s", got)
		}
	})
}

func TestGather(t *testing.T) {
	cases := map[string]struct {
		push func(e *timed)
		want []attempt
	}{
		"a single item waits for the flush interval": {
			func(e *timed) { e.push(spans(5)) },
			[]attempt{{time.Second, 5}},
		},
		"items of one interval go together, from the first on": {
			func(e *timed) {
				e.push(spans(5))
				time.Sleep(600 * time.Millisecond)
				e.push(spans(6))
				time.Sleep(600 * time.Millisecond)
				e.push(spans(7))
			},
			[]attempt{{time.Second, 11}, {2200 * time.Millisecond, 7}},
		},
		"a batch that is full by its items goes at once": {
			func(e *timed) { e.push(spans(40)); e.push(spans(60)) },
			[]attempt{{0, 100}},
		},
		"a batch that is full by its bytes goes at once": {
			func(e *timed) {
				for range 20 {
					e.push(item{body: make([]byte, 99), count: 1, since: time.Now()})
				}
			},
			[]attempt{{0, 10}, {0, 10}},
		},
		"an idle exporter wakes for a later item": {
			func(e *timed) { time.Sleep(time.Minute); e.push(spans(5)); time.Sleep(time.Minute); e.push(spans(6)) },
			[]attempt{{61 * time.Second, 5}, {121 * time.Second, 6}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inTime(t, nil, accept, func(t *testing.T, e *timed) {
				c.push(e)
				time.Sleep(time.Minute)
				if diff := cmp.Diff(c.want, e.requests(), cmp.AllowUnexported(attempt{})); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDrain_Timeout(t *testing.T) {
	cases := map[string]struct {
		answer            answer
		timeout           time.Duration
		took              time.Duration // of the shutdown
		exported, dropped int64
		lastError         any
	}{
		"sends what is queued, without the flush interval": {accept, 5 * time.Second, 0, 5, 0, nil},
		"ends when its time is up, between attempts":       {busy, 5 * time.Second, 5 * time.Second, 0, 5, "backend is busy"},
		"ends when its time is up, within an attempt":      {hang, 5 * time.Second, 5 * time.Second, 0, 5, nil},
		"does not wait where it has no time":               {hang, 0, 0, 0, 5, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(config *Config) { config.DrainTimeout = c.timeout }, c.answer, func(t *testing.T, e *timed) {
				e.push(spans(5))
				time.Sleep(time.Millisecond)
				begun := time.Now()
				_ = e.Shutdown(t.Context())
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if got := e.entry(); got.Exported != c.exported || got.Dropped["shutdown"] != c.dropped {
					t.Errorf("the ledger has %+v", got)
				}
				lines := e.logs.FilterMessage("items dropped: the queue did not drain in time").All()
				if c.dropped == 0 {
					if len(lines) != 0 {
						t.Errorf("logged %v", lines)
					}
					return
				}
				if len(lines) != 1 || lines[0].ContextMap()["items"] != c.dropped || lines[0].ContextMap()["last_error"] != c.lastError {
					t.Errorf("logged %v", lines)
				}
			})
		})
	}
}

// A pause that the backend asked for ends with the beginning of the drain, and in the
// drain there is time for short ones alone.
func TestDrain_ShortensPauses(t *testing.T) {
	answer := func(ctx context.Context, n int, r request) result {
		if n == 3 {
			return result{}
		}
		busy := busy(ctx, n, r)
		busy.after = time.Minute
		return busy
	}
	inTime(t, nil, answer, func(t *testing.T, e *timed) {
		e.push(spans(5))
		time.Sleep(10 * time.Second) // the first attempt was after one
		_ = e.Shutdown(t.Context())
		if diff := cmp.Diff([]time.Duration{9 * time.Second, firstPause, firstPause}, e.gaps()); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		if got := e.entry(); got.Exported != 5 {
			t.Errorf("the ledger has %+v", got)
		}
	})
}

// An oldest item that makes room is counted, as is one that is larger than the queue.
func TestPush_DropsOldest(t *testing.T) {
	inTime(t, func(c *Config) { c.DrainTimeout = 0 }, hang, func(t *testing.T, e *timed) {
		for i := range 10 {
			e.push(item{body: make([]byte, 936), count: 1 << i, since: time.Now()}) // four fit
			synctest.Wait()
		}
		if got := e.entry(); got.Dropped["queue_full"] != 1<<1+1<<2+1<<3+1<<4+1<<5+1<<6 { // the first is under way
			t.Errorf("the ledger has %+v", got)
		}
		if room := e.stats.Room(); room != 0 {
			t.Errorf("room for %d bytes", room)
		}
		lines := e.logs.FilterMessage("queue is full; its oldest items are dropped").All()
		if len(lines) != 1 || lines[0].ContextMap()["items"] != int64(2) {
			t.Errorf("logged %v", fmt.Sprint(lines))
		}
	})
}
