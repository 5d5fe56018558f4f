package fluentbit

import (
	"sync"

	"github.com/nova/novawire/fluentbit/record"
)

// Fluent Bit calls back on the stack of a coroutine, of 24 KiB before 5.1, where
// Go counts on 32 below a foreign caller. So the callback itself does next to
// nothing: it allocates not and calls nothing but hands over and waits. The work
// is done by goroutines that have stacks of their own.

// job is a chunk on its way from a callback to a goroutine, and the verdict
// on its way back.
type job struct {
	data, tag []byte // memory of the caller
	result    chan Result
}

// workers is how many chunks are worked on at once: more than Fluent Bit has
// workers. A further one waits for its turn.
const workers = 16

func (o *Output) startWorkers() {
	o.idleJobs, o.jobs = make(chan *job, workers), make(chan *job, workers)
	for range workers {
		o.idleJobs <- &job{result: make(chan Result, 1)}
		o.workers.Go(o.runWorker)
	}
}

func (o *Output) runWorker() {
	for {
		select {
		case h := <-o.jobs:
			h.result <- o.Flush(h.data, string(h.tag))
		case <-o.ctx.Done():
			return
		}
	}
}

// Submit gives a chunk to a goroutine and waits for the verdict. It is for foreign
// stacks; data and tag are not used after it returns.
func (o *Output) Submit(data, tag []byte) Result {
	select {
	case <-o.ctx.Done():
		return Retry
	case h := <-o.idleJobs:
		h.data, h.tag = data, tag
		o.jobs <- h
		v := o.await(h)
		h.data, h.tag = nil, nil
		o.idleJobs <- h
		return v
	}
}

// await waits for the verdict. At the end of an output no goroutine may be left
// to take the chunk: then it is taken back.
func (o *Output) await(h *job) Result {
	select {
	case v := <-h.result:
		return v
	case <-o.ctx.Done():
	}
	for {
		select {
		case v := <-h.result:
			return v
		case other := <-o.jobs:
			other.result <- Retry
		}
	}
}

// bufferPool keeps the memory that was used last, since it is warm, and no more of
// it than is worth it.
type bufferPool struct {
	mu   sync.Mutex
	idle []*buffer
}

// mostIdle is how many are kept, and mostKept what one of them may have: a chunk
// of Fluent Bit's is about 2 MiB.
const (
	maxIdleBuffers = 4
	maxBufferBytes = 8 << 20
)

func (b *bufferPool) take(pods *record.Pods) *buffer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.idle); n > 0 {
		last := b.idle[n-1]
		b.idle = b.idle[:n-1]
		return last
	}
	return &buffer{decoder: record.Decoder{Pods: pods}}
}

func (b *bufferPool) put(one *buffer) {
	clear(one.items)
	one.streams = nil
	if one.decoder.Memory() > maxBufferBytes {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) < maxIdleBuffers {
		b.idle = append(b.idle, one)
	}
}
