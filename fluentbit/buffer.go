package fluentbit

import (
	"cmp"
	"slices"
	"sync"

	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/redact"
)

// streamItems are the items of a chunk that go to one stream.
type streamItems struct {
	to    delivery.Stream
	items []*delivery.Item
}

// buffer is the memory for one chunk. It is reused for the next.
type buffer struct {
	decoder record.Decoder
	items   []delivery.Item
	streams map[delivery.Stream]*streamItems
}

// itemsOf makes an item of each event.
func (b *buffer) itemsOf(chunk *record.Chunk) []delivery.Item {
	b.items = b.items[:0]
	for i := range chunk.Events {
		e := &chunk.Events[i]
		item := delivery.Item{Time: e.Time, Size: e.Size, Entry: chunk.Entry(e)}
		if t := chunk.Tally(e); t != (record.Tally{}) {
			item.Data = countedEvent{destinationIn(e.Pod).counts, t}
		}
		b.items = append(b.items, item)
	}
	return b.items
}

// byStream groups the items that are not settled by stream, in order of time.
// Items of equal time keep their order.
func (b *buffer) byStream(chunk *record.Chunk, items []delivery.Item) []*streamItems {
	b.streams = map[delivery.Stream]*streamItems{}
	var all []*streamItems
	var last *streamItems
	for i := range items {
		if items[i].Settled {
			continue
		}
		if to := destinationIn(chunk.Events[i].Pod).lines; last == nil || last.to != to {
			if last = b.streams[to]; last == nil {
				last = &streamItems{to: to}
				b.streams[to] = last
				all = append(all, last)
			}
		}
		last.items = append(last.items, &items[i])
	}
	for _, s := range all {
		if !slices.IsSortedFunc(s.items, byTime) {
			slices.SortStableFunc(s.items, byTime)
		}
	}
	return all
}

func byTime(a, b *delivery.Item) int { return cmp.Compare(a.Time, b.Time) }

// bufferPool keeps the most recently used buffers.
type bufferPool struct {
	mu   sync.Mutex
	idle []*buffer
}

const (
	maxIdleBuffers = 4
	maxBufferBytes = 8 << 20 // a larger buffer is not kept; a chunk of Fluent Bit has about 2 MiB
)

func (p *bufferPool) take(pods *record.Pods, rules *redact.Rules) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		last := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return last
	}
	return &buffer{decoder: record.Decoder{Pods: pods, Redact: rules.Redactor()}}
}

func (p *bufferPool) put(b *buffer) {
	clear(b.items)
	b.streams = nil
	if b.decoder.Memory() > maxBufferBytes {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxIdleBuffers {
		p.idle = append(p.idle, b)
	}
}
