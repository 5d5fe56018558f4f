package receiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/ledger"
)

func (b *budget) share(waits *int) *share { return &share{budget: b, waited: func() { *waits++ }} }

// One request at a time may go beyond the budget; others wait until something is given
// back.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, waits := newBudget(100, 1000), 0
		first, second, third := b.share(&waits), b.share(&waits), b.share(&waits)
		mustTake := func(s *share, n int64) {
			t.Helper()
			if err := s.take(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		mustTake(first, 60)
		mustTake(second, 40) // all of it
		mustTake(first, 500) // beyond
		mustTake(first, 500) // the same may go on
		if b.free != 0 || first.held != 60 || second.held != 40 {
			t.Errorf("free %d, held %d and %d", b.free, first.held, second.held)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := second.take(short, 1); !errors.Is(err, errBusy) || waits != 0 {
			t.Errorf("without room: %v after %d waits", err, waits)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- third.take(t.Context(), 70) }()
		synctest.Wait()
		second.release() // forty are not enough, and another goes beyond
		synctest.Wait()
		if len(waiting) != 0 || waits != 1 {
			t.Fatalf("took seventy of forty, after %d waits", waits)
		}
		first.release()
		if err := <-waiting; err != nil || third.held != 70 || waits != 2 {
			t.Errorf("took %d, %v after %d waits", third.held, err, waits)
		}
		mustTake(second, 31) // beyond, as nobody does any more
		second.release()
		third.release()
		if b.free != 100 || b.reserved != nil || third.held != 0 {
			t.Errorf("in the end %d of 100 bytes are free", b.free)
		}
	})
}

// A body is read whole, whatever its length and however it arrives, within the limit,
// and the budget knows what its buffer takes.
func TestReadAll(t *testing.T) {
	const limit = 3 << 20
	readers := map[string]func(io.Reader) io.Reader{
		"at once":       func(r io.Reader) io.Reader { return r },
		"in halves":     iotest.HalfReader,
		"with the end":  iotest.DataErrReader,
		"byte for byte": iotest.OneByteReader,
	}
	sizes := []int{0, 1, firstBytes - 1, firstBytes, firstBytes + 1, 4 * firstBytes, 64 << 10, 100_000, 600_000, growStep, growStep + 1, limit - 1, limit, limit + 1}
	for name, reader := range readers {
		for _, size := range sizes {
			for _, known := range []bool{true, false} {
				if name == "byte for byte" && size > 100_000 {
					continue
				}
				t.Run(fmt.Sprintf("%d bytes %s, known: %v", size, name, known), func(t *testing.T) {
					s := newServer(&Config{MaxRequestBytes: limit, HeldBytes: 2 * limit}, zap.NewNop(), new(ledger.Ledger))
					hold := s.budget.share(new(int))
					length := int64(-1)
					if known {
						length = int64(size)
					}
					want := bytes.Repeat([]byte("abc"), size/3+1)[:size]
					got, err := s.readAll(t.Context(), hold, reader(bytes.NewReader(want)), length, limit)
					if size > limit {
						if !errors.Is(err, errTooBig) {
							t.Errorf("got %d bytes, %v", len(got), err)
						}
						return
					}
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("got %d bytes, %v", len(got), err)
					}
					if hold.held != int64(cap(got)) || 2*limit-s.budget.free != hold.held {
						t.Errorf("holds %d of the budget, has %d", hold.held, cap(got))
					}
					if most := max(firstBytes, 4*size); cap(got) > most && cap(got) != limit+1 {
						t.Errorf("a body of %d bytes has a buffer of %d", size, cap(got))
					}
					largest := map[bool]int{true: size + 1, false: limit + 1}[known]
					if size > growStep && cap(got) != largest || size < growStep && cap(got) > growStep || known && cap(got) > 2*(size+1) {
						t.Errorf("a body of %d bytes has a buffer of %d", size, cap(got))
					}
				})
			}
		}
	}
	t.Run("a sender that breaks off", func(t *testing.T) {
		s := newServer(&Config{MaxRequestBytes: limit, HeldBytes: limit}, zap.NewNop(), new(ledger.Ledger))
		_, err := s.readAll(t.Context(), s.budget.share(new(int)), iotest.ErrReader(io.ErrUnexpectedEOF), 10, limit)
		if !errors.Is(err, errBody) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a budget that others hold", func(t *testing.T) {
		s := newServer(&Config{MaxRequestBytes: limit, HeldBytes: 100}, zap.NewNop(), new(ledger.Ledger))
		others := s.budget.share(new(int))
		if others.take(t.Context(), 100) != nil || others.take(t.Context(), 1) != nil {
			t.Fatal("the budget is not free")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.readAll(ctx, s.budget.share(new(int)), bytes.NewReader(nil), 10, limit); !errors.Is(err, errBusy) {
			t.Errorf("got %v", err)
		}
		if _, err := s.unzstd(ctx, s.budget.share(new(int)), zstandard(make([]byte, 500))); !errors.Is(err, errBusy) {
			t.Errorf("zstd: got %v", err)
		}
	})
	t.Run("a buffer is made after the budget has room for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(&Config{MaxRequestBytes: limit, HeldBytes: growStep}, zap.NewNop(), new(ledger.Ledger))
			first, waiting := s.budget.share(new(int)), make(chan error, 5)
			if _, err := s.readAll(t.Context(), first, bytes.NewReader(make([]byte, 2*growStep)), -1, limit); err != nil {
				t.Fatal(err)
			}
			body := make([]byte, 2*growStep)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range cap(waiting) {
				go func() {
					_, err := s.readAll(t.Context(), s.budget.share(new(int)), bytes.NewReader(body), int64(len(body)), limit)
					waiting <- err
				}()
			}
			synctest.Wait()
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > limit {
				t.Errorf("requests that wait for the budget made buffers of %d bytes", got)
			}
			first.release()
			for range cap(waiting) {
				if err := <-waiting; !errors.Is(err, errBusy) && err != nil {
					t.Error(err)
				}
				s.budget.mu.Lock()
				s.budget.reserved = nil // the next one may go beyond
				close(s.budget.changed)
				s.budget.changed = make(chan struct{})
				s.budget.mu.Unlock()
			}
		})
	})
	t.Run("a length beyond the limit is refused before anything is read", func(t *testing.T) {
		s := newServer(&Config{MaxRequestBytes: limit, HeldBytes: limit}, zap.NewNop(), new(ledger.Ledger))
		if _, err := s.readAll(t.Context(), s.budget.share(new(int)), nil, limit+1, limit); !errors.Is(err, errTooBig) {
			t.Errorf("got %v", err)
		}
	})
}

// A limit below the steps by which buffers grow holds too, and so does one below that of
// requests, which bodies in zstd have.
func TestReadAll_OtherLimits(t *testing.T) {
	cases := map[string]struct{ largest, limit, most int }{
		"a small limit":               {200_000, 200_000, 200_001},
		"a limit below the requests'": {8 << 20, 2 << 20, 2<<20 + 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{c.limit - 1, c.limit, c.limit + 1} {
				for _, length := range []int64{-1, int64(size)} {
					s := newServer(&Config{MaxRequestBytes: c.largest, HeldBytes: 1000}, zap.NewNop(), new(ledger.Ledger))
					want := bytes.Repeat([]byte{1}, size)
					got, err := s.readAll(t.Context(), s.budget.share(new(int)), bytes.NewReader(want), length, int64(c.limit))
					if size > c.limit {
						if !errors.Is(err, errTooBig) {
							t.Errorf("%d bytes, length %d: %v", size, length, err)
						}
					} else if err != nil || !bytes.Equal(got, want) || cap(got) > c.most {
						t.Errorf("%d bytes, length %d: got %d in a buffer of %d, %v", size, length, len(got), cap(got), err)
					}
				}
			}
		})
	}
}

// A frame of zstd takes what it says of the budget, or the most that a request may have.
func TestUnzstd(t *testing.T) {
	const limit = 9 << 20 // more than the window of encoders
	text := bytes.Repeat([]byte("abc"), 10_000)
	streamed := func(content []byte) []byte { // says nothing of its length
		var out bytes.Buffer
		w, _ := zstd.NewWriter(&out)
		_, _ = w.Write(content)
		_ = w.Flush()
		_ = w.Close()
		return out.Bytes()
	}
	cases := map[string]struct {
		frame []byte
		held  int64
		err   error
	}{
		"a known length":          {zstandard(text), int64(len(text)), nil},
		"an unknown length":       {streamed(text), limit, nil},
		"a known length too many": {zstandard(make([]byte, limit+1)), 0, errTooBig},
		"too much in the end":     {streamed(make([]byte, 2*limit)), limit, errTooBig},
		"not a frame":             {[]byte("text"), 0, errBody},
		"a frame that breaks off": {zstandard(text)[:20], int64(len(text)), errBody},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newServer(&Config{MaxRequestBytes: limit, HeldBytes: 10 * limit}, zap.NewNop(), new(ledger.Ledger))
			hold := s.budget.share(new(int))
			got, err := s.unzstd(t.Context(), hold, c.frame)
			if !errors.Is(err, c.err) || c.err == nil && !bytes.Equal(got, text) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if hold.held != c.held {
				t.Errorf("holds %d of the budget, want %d", hold.held, c.held)
			}
		})
	}
}

// Buffers are used again, and never two at once.
func TestBuffers(t *testing.T) {
	for _, size := range []int64{1, 2, 4096, 4097, 128 << 10, 128<<10 + 1, 5 << 20} {
		b := newBuffer(size)
		if len(b) != 0 || int64(cap(b)) < size || int64(cap(b)) >= 2*size && size > 1 {
			t.Errorf("for %d bytes: a buffer of %d with %d in it", size, cap(b), len(b))
		}
		freeBuffer(b[:1])
	}
	freeBuffer(nil)
	freeBuffer(make([]byte, 0, 5000)) // not one of ours
	if b := newBuffer(5000); cap(b) < 5000 {
		t.Errorf("a buffer of %d for 5000 bytes", cap(b))
	}
}

// A buffer is given back once: two requests in one buffer would mix their spans.
func TestShare_GivesBuffersBackOnce(t *testing.T) {
	const limit = 256 << 10
	s := newServer(&Config{MaxRequestBytes: limit, HeldBytes: limit}, zap.NewNop(), new(ledger.Ledger))
	for range 20 {
		hold := s.budget.share(new(int))
		if _, err := s.readAll(t.Context(), hold, bytes.NewReader(make([]byte, 100_000)), -1, limit); err != nil {
			t.Fatal(err)
		}
		hold.release()
		hold.release() // as nobody does
		seen := map[*byte]bool{}
		for _, size := range []int64{4 << 10, 16 << 10, 64 << 10, 128 << 10} {
			for range 3 {
				first := &newBuffer(size)[:1][0]
				if seen[first] {
					t.Fatalf("a buffer of %d bytes is given to two", size)
				}
				seen[first] = true
			}
		}
	}
}
