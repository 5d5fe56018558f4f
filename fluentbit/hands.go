package fluentbit

import (
	"sync"

	"github.com/nova/novawire/fluentbit/record"
)

// Fluent Bit calls back on the stack of a coroutine, of 24 KiB before 5.1, where
// Go counts on 32 below a foreign caller. So the callback itself does next to
// nothing: it allocates not and calls nothing but hands over and waits. The work
// is done by goroutines that have stacks of their own.

// handed is a chunk on its way from a callback to a goroutine, and the verdict
// on its way back.
type handed struct {
	data, tag []byte // memory of the caller
	verdict   chan Verdict
}

// hands is how many chunks are worked on at once: more than Fluent Bit has
// workers. A further one waits for its turn.
const hands = 16

func (o *Output) startHands() {
	o.slots, o.work = make(chan *handed, hands), make(chan *handed, hands)
	for range hands {
		o.slots <- &handed{verdict: make(chan Verdict, 1)}
		o.running.Go(o.hand)
	}
}

func (o *Output) hand() {
	for {
		select {
		case h := <-o.work:
			h.verdict <- o.Flush(h.data, string(h.tag))
		case <-o.life.Done():
			return
		}
	}
}

// Hand gives a chunk to a goroutine and waits for the verdict. It is for foreign
// stacks; data and tag are not used after it returns.
func (o *Output) Hand(data, tag []byte) Verdict {
	select {
	case <-o.life.Done():
		return Again
	case h := <-o.slots:
		h.data, h.tag = data, tag
		o.work <- h
		v := o.answer(h)
		h.data, h.tag = nil, nil
		o.slots <- h
		return v
	}
}

// answer waits for the verdict. At the end of an output no goroutine may be left
// to take the chunk: then it is taken back.
func (o *Output) answer(h *handed) Verdict {
	select {
	case v := <-h.verdict:
		return v
	case <-o.life.Done():
	}
	for {
		select {
		case v := <-h.verdict:
			return v
		case other := <-o.work:
			other.verdict <- Again
		}
	}
}

// benches keeps the memory that was used last, since it is warm, and no more of
// it than is worth it.
type benches struct {
	mu   sync.Mutex
	idle []*bench
}

// mostIdle is how many are kept, and mostKept what one of them may have: a chunk
// of Fluent Bit's is about 2 MiB.
const (
	mostIdle = 4
	mostKept = 8 << 20
)

func (b *benches) take(pods *record.Pods) *bench {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.idle); n > 0 {
		last := b.idle[n-1]
		b.idle = b.idle[:n-1]
		return last
	}
	return &bench{decoder: record.Decoder{Pods: pods}}
}

func (b *benches) put(one *bench) {
	clear(one.items)
	one.shares = nil
	if one.decoder.Memory() > mostKept {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) < mostIdle {
		b.idle = append(b.idle, one)
	}
}
