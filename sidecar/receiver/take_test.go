package receiver

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// taker is a server without a network, in a bubble of time. Its pipeline notes when it
// was given how many items.
type taker struct {
	*server
	counters *ledger.Counters
	begun    time.Time

	mu     sync.Mutex
	pieces []piece
}

type piece struct {
	At    time.Duration
	Items int
}

func newTaker(answer func(call int) error) *taker {
	k := &taker{begun: time.Now()}
	stats := new(ledger.Ledger)
	k.counters = stats.Counters(ledger.Traces)
	k.counters.SetQueue(0, 1<<20)
	k.server = newServer(&Config{
		MaxRequestBytes: 1 << 20, HeldBytes: 1 << 20, Concurrency: 1,
		Piece: wire.Limits{Bytes: 400 << 10, Items: 10}, JSONMemory: 8 << 20,
	}, zap.NewNop(), stats)
	k.connect(ledger.Traces, func(ctx context.Context) error {
		k.mu.Lock()
		k.pieces = append(k.pieces, piece{time.Since(k.begun), wire.FromContext(ctx).Items})
		call := len(k.pieces)
		k.mu.Unlock()
		return answer(call)
	})
	return k
}

func never(int) error { return nil }

// A request that is larger than the queue waits for room between its pieces: not longer
// than the backend stands still, and not longer than two seconds in all.
func TestTake_AwaitsRoom(t *testing.T) {
	const limit = 200 << 10
	at := func(times ...time.Duration) (want []piece) {
		for _, at := range times {
			want = append(want, piece{at, 10})
		}
		return want
	}
	const ms = time.Millisecond
	cases := map[string]struct {
		limit int64
		room  func(k *taker) // runs beside the request
		want  []piece
	}{
		"there is room": {limit, func(*taker) {}, at(0, 0, 0, 0)},
		"the request is no larger than the queue": {
			1 << 20, func(k *taker) { k.counters.SetQueue(1<<20, 1<<20) }, at(0, 0, 0, 0),
		},
		"the queue is full and the backend stands still": {
			limit, func(k *taker) { k.counters.SetQueue(limit, limit) }, at(0, 205*ms, 410*ms, 615*ms),
		},
		"there is room after a while": {
			limit, func(k *taker) {
				k.counters.SetQueue(limit, limit)
				time.Sleep(102 * ms)
				k.counters.SetQueue(0, limit)
			}, at(0, 105*ms, 105*ms, 105*ms),
		},
		"the backend is slow": {
			limit, func(k *taker) {
				for left := int64(limit); time.Since(k.begun) < time.Minute; left -= 100 {
					k.counters.SetQueue(left, limit)
					time.Sleep(150 * ms)
				}
			}, at(0, 2005*ms, 2005*ms, 2005*ms),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newTaker(never)
				k.counters.SetQueue(0, c.limit)
				go c.room(k)
				synctest.Wait()
				names := make([]string, 40)
				for i := range names {
					names[i] = string(make([]byte, 6<<10)) // 240 KiB in four pieces
				}
				p, err := k.take(t.Context(), ledger.Traces, request(t, names...), protobuf)
				if err != nil || p != (partial{}) {
					t.Errorf("took %+v, %v", p, err)
				}
				if diff := cmp.Diff(c.want, k.pieces); diff != "" {
					t.Errorf("pieces (-want +got):\n%s", diff)
				}
				time.Sleep(2 * time.Minute) // room ends
			})
		})
	}
}

// Where memory is short in the midst of a request, it waits once for the memory limiter's
// next look; another request does not, soon after one waited in vain.
func TestTake_WaitsForMemory(t *testing.T) {
	short := errors.New("memory is short")
	only := func(calls ...int) func(int) error {
		return func(call int) error {
			for _, c := range calls {
				if c == call {
					return short
				}
			}
			return nil
		}
	}
	cases := map[string]struct {
		answer   func(call int) error
		err      error
		want     []piece
		rejected int
		entry    ledger.Entry
	}{
		"for the first piece": {only(1), short, []piece{{0, 10}}, 0, ledger.Entry{Refused: map[string]int64{"memory": 30}}},
		"for a later piece, and then not": {
			only(2), nil, []piece{{0, 10}, {0, 10}, {memoryWait, 10}, {memoryWait, 10}}, 0, ledger.Entry{Accepted: 30, Refused: map[string]int64{}},
		},
		"for a later piece, and still": {
			only(2, 3), nil, []piece{{0, 10}, {0, 10}, {memoryWait, 10}, {memoryWait, 10}}, 10, ledger.Entry{Accepted: 20, Refused: map[string]int64{"memory": 10}},
		},
		"for an error of the sidecar's own": {
			func(call int) error {
				if call == 2 {
					return consumererror.NewPermanent(short)
				}
				return nil
			}, nil, []piece{{0, 10}, {0, 10}, {0, 10}}, 10, ledger.Entry{Accepted: 20, Refused: map[string]int64{"failure": 10}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newTaker(c.answer)
				p, err := k.take(t.Context(), ledger.Traces, request(t, make([]string, 30)...), protobuf)
				if !errors.Is(err, c.err) || p.rejected != c.rejected || (p.reason != "") != (p.rejected > 0) {
					t.Errorf("took %+v, %v", p, err)
				}
				if diff := cmp.Diff(c.want, k.pieces); diff != "" {
					t.Errorf("pieces (-want +got):\n%s", diff)
				}
				if got := k.counters.Entry(); got.Accepted != c.entry.Accepted || !maps.Equal(got.Refused, c.entry.Refused) {
					t.Errorf("the ledger has %+v, want %+v", got, c.entry)
				}
			})
		})
	}
	t.Run("but not soon again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := newTaker(func(call int) error {
				if call%2 == 0 {
					return short
				}
				return nil
			})
			body := request(t, make([]string, 20)...)
			times := func() (last time.Duration) {
				begun := time.Now()
				if _, err := k.take(t.Context(), ledger.Traces, body, protobuf); err != nil {
					t.Error(err)
				}
				return time.Since(begun)
			}
			if took := times(); took != memoryWait {
				t.Errorf("the first request waited %s", took)
			}
			k.pieces = nil
			if took := times(); took != 0 {
				t.Errorf("the second request waited %s", took)
			}
			time.Sleep(waitAgain)
			k.pieces = nil
			if took := times(); took != 0 {
				t.Errorf("a third request waited %s", took)
			}
			time.Sleep(time.Nanosecond)
			k.pieces = nil
			if took := times(); took != memoryWait {
				t.Errorf("a later request waited %s", took)
			}
		})
	})
}

// Requests are worked on one after the other, as many at once as is configured.
func TestTake_InTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker(func(int) error { time.Sleep(time.Second); return nil })
		for range 3 {
			go func() { _, _ = k.take(t.Context(), ledger.Traces, request(t, "a"), protobuf) }()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		synctest.Wait()
		if _, err := k.take(ctx, ledger.Traces, nil, protobuf); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request whose sender has left: %v", err)
		}
		time.Sleep(time.Minute)
		k.mu.Lock()
		defer k.mu.Unlock()
		if diff := cmp.Diff([]piece{{0, 1}, {time.Second, 1}, {2 * time.Second, 1}}, k.pieces); diff != "" {
			t.Errorf("worked on (-want +got):\n%s", diff)
		}
	})
}

// The sender of an item that is too large is told the limit.
func TestTake_TooLarge(t *testing.T) {
	for itemBytes, want := range map[int]string{0: "409600 bytes", 5000: "5000 bytes"} {
		k := newTaker(never)
		k.config.Piece.ItemBytes = itemBytes
		p, err := k.take(t.Context(), ledger.Traces, request(t, "small", strings.Repeat("x", 500<<10)), protobuf)
		if err != nil || p.rejected != 1 || !strings.Contains(p.reason, want) {
			t.Errorf("took %+v, %v; want %s", p, err, want)
		}
	}
}

// Pieces are small, also when their text is repaired: the exporter puts them together
// again, and what is larger than a batch would be lost there.
func TestTake_SizeOfPieces(t *testing.T) {
	const limit, item = 400 << 10, 60 << 10
	names := func(n int, text string, size int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = strings.Repeat(text, size)
		}
		return all
	}
	cases := map[string]struct {
		names    []string
		pieces   int // at least
		most     int // bytes of a piece
		rejected int
	}{
		"a request that fits is one piece":        {names(9, "x", 40<<10), 1, limit, 0},
		"a larger one is in quarters":             {names(11, "x", 40<<10), 5, limit / 4, 0},
		"text that is repaired to the largest":    {names(8, "\xff ", 6<<10), 1, limit, 0},
		"text that would be larger when repaired": {names(10, "\xff ", 7<<10), 2, limit, 0},
		"an item that would be larger":            {names(2, "\xff ", 20<<10), 0, 0, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			k := newTaker(never)
			k.config.Piece = wire.Limits{Bytes: limit, Items: 1000, ItemBytes: item}
			pieces, items := 0, 0
			k.connect(ledger.Traces, func(ctx context.Context) error {
				r := wire.FromContext(ctx)
				sum, err := wire.Scan(ledger.Traces, r.Body)
				if err != nil || len(r.Body) > c.most || sum.LargestItem > item || sum.InvalidText {
					t.Errorf("a piece of %d bytes, want at most %d: %+v, %v", len(r.Body), c.most, sum, err)
				}
				pieces, items = pieces+1, items+r.Items
				return nil
			})
			p, err := k.take(t.Context(), ledger.Traces, request(t, c.names...), protobuf)
			if err != nil || p.rejected != c.rejected || items != len(c.names)-c.rejected {
				t.Errorf("took %+v, %v; %d items of %d", p, err, items, len(c.names))
			}
			if pieces < c.pieces || c.pieces == 1 && pieces > 1 {
				t.Errorf("%d pieces, want %d", pieces, c.pieces)
			}
		})
	}
}
