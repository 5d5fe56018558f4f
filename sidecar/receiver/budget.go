package receiver

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// budget bounds the bytes of the bodies that are held at once. A request takes
// from it as its bytes arrive, so a sender that stands still holds no more than it
// has sent. One request at a time may go beyond the budget: that one can always
// end, and what it frees serves the next.
type budget struct {
	mu       sync.Mutex
	free     int64
	reserved *share        // holds the right to go beyond
	changed  chan struct{} // closed when something is given back

	// largest keeps the buffer of the request that went beyond for the next one.
	// Otherwise a third of the memory would be garbage after each of them, and on a busy
	// machine the next ones come before it is collected.
	largest      sync.Pool
	largestBytes int
}

func newBudget(bytes int64, largest int) *budget {
	return &budget{free: bytes, changed: make(chan struct{}), largestBytes: largest}
}

// newLargest returns a buffer for a request of the largest size, and a byte more. What
// earlier requests left behind is collected before, however busy the machine is.
func (b *budget) newLargest() []byte {
	runtime.GC()
	if buffer, ok := b.largest.Get().(*[]byte); ok {
		return (*buffer)[:0]
	}
	return make([]byte, 0, b.largestBytes+1)
}

// share is what one request holds of the budget.
type share struct {
	budget *budget
	held   int64  // of the budget, without what goes beyond
	waited func() // called when the request had to wait: its sender is not to blame

	buffers [][]byte // that the body is in
}

// free lets another request use a buffer.
func (s *share) free(buffer []byte) {
	s.buffers = slices.DeleteFunc(s.buffers, func(b []byte) bool { return cap(b) == cap(buffer) })
	if cap(buffer) == s.budget.largestBytes+1 {
		s.budget.largest.Put(&buffer)
		return
	}
	freeBuffer(buffer)
}

// errBusy is the error of a request for whose body no memory became free in time.
var errBusy = errors.New("too many requests are being read at once")

// take waits for n more bytes, until the context ends.
func (s *share) take(ctx context.Context, n int64) error {
	for {
		changed := s.tryTake(n)
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
			s.waited()
		case <-ctx.Done():
			return errBusy
		}
	}
}

// tryTake takes n bytes if it can. Otherwise it returns a channel that is closed when
// something is given back.
func (s *share) tryTake(n int64) (changed <-chan struct{}) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.free >= n:
		b.free -= n
		s.held += n
		return nil
	case b.reserved == nil || b.reserved == s:
		b.reserved = s
		return nil
	}
	return b.changed
}

// release gives everything back. Nothing may refer to the body any more.
func (s *share) release() {
	for _, buffer := range slices.Clone(s.buffers) {
		s.free(buffer)
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += s.held
	s.held = 0
	if b.reserved == s {
		b.reserved = nil
	}
	close(b.changed)
	b.changed = make(chan struct{})
}
