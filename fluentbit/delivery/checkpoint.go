package delivery

import (
	"hash/maphash"
	"slices"
	"sync"
)

// Checkpoints remembers how far chunks came that were not delivered whole, so that
// they go on from there when they come again. Fluent Bit gives chunks no
// identity; their bytes and their tag are one. Of two chunks that are equal,
// each takes back what one of them left, which is as good.
type Checkpoints struct {
	seed     maphash.Seed
	maxBytes int // bytes of bitmaps

	mu    sync.Mutex
	saved map[fingerprint][]*Checkpoint
	order []fingerprint // oldest first
	bytes int
}

type fingerprint struct {
	sum    uint64
	length int
}

// Checkpoint is what is known of a chunk's events, by their index.
type Checkpoint struct {
	settled, unsure bitmap
}

// NewCheckpoints remembers up to so many bytes, at least the latest chunk.
func NewCheckpoints(maxBytes int) *Checkpoints {
	return &Checkpoints{seed: maphash.MakeSeed(), maxBytes: maxBytes, saved: map[fingerprint][]*Checkpoint{}}
}

func (p *Checkpoints) fingerprint(data []byte, tag string) fingerprint {
	var h maphash.Hash
	h.SetSeed(p.seed)
	_, _ = h.WriteString(tag)
	_ = h.WriteByte(0)
	_, _ = h.Write(data)
	return fingerprint{h.Sum64(), len(data)}
}

// Take returns what was left of the chunk, and forgets it; nil where nothing was.
func (p *Checkpoints) Take(data []byte, tag string) *Checkpoint {
	p.mu.Lock()
	empty := len(p.saved) == 0
	p.mu.Unlock()
	if empty {
		return nil // no chunk waits: none need be recognised
	}
	f := p.fingerprint(data, tag)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(f)
}

func (p *Checkpoints) take(f fingerprint) *Checkpoint {
	all := p.saved[f]
	if len(all) == 0 {
		return nil
	}
	r := all[len(all)-1]
	if p.saved[f] = all[:len(all)-1]; len(all) == 1 {
		delete(p.saved, f)
	}
	p.bytes -= r.bytes()
	i := slices.Index(p.order, f)
	p.order = slices.Delete(p.order, i, i+1)
	return r
}

// Save remembers a chunk that will come again.
func (p *Checkpoints) Save(data []byte, tag string, items []Item) {
	r := &Checkpoint{settled: newBitmap(len(items)), unsure: newBitmap(len(items))}
	for i := range items {
		r.settled.set(i, items[i].Settled)
		r.unsure.set(i, items[i].Unsure)
	}
	f := p.fingerprint(data, tag)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saved[f] = append(p.saved[f], r)
	p.order = append(p.order, f)
	for p.bytes += r.bytes(); p.bytes > p.maxBytes && len(p.order) > 1; {
		p.take(p.order[0])
	}
}

// Restore marks the items of a chunk that came again, and returns how many are settled.
func (r *Checkpoint) Restore(items []Item) (settled int) {
	for i := range items {
		items[i].Settled, items[i].Unsure = r.settled.at(i), r.unsure.at(i)
		if items[i].Settled {
			settled++
		}
	}
	return settled
}

// bytes is about what a chunk's remains cost.
func (r *Checkpoint) bytes() int { return 128 + 8*(len(r.settled)+len(r.unsure)) }

type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) at(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 == 1 }

func (b bitmap) set(i int, on bool) {
	if on {
		b[i/64] |= 1 << (i % 64)
	}
}
