package delivery

import (
	"hash/maphash"
	"slices"
	"sync"
)

// Progress remembers how far chunks came that were not delivered whole, so that
// they go on from there when they come again. Fluent Bit gives chunks no
// identity; their bytes and their tag are one. Of two chunks that are equal,
// each takes back what one of them left, which is as good.
type Progress struct {
	seed maphash.Seed
	most int // bytes of bitmaps

	mu    sync.Mutex
	left  map[fingerprint][]*Remains
	order []fingerprint // oldest first
	bytes int
}

type fingerprint struct {
	sum    uint64
	length int
}

// Remains is what is known of a chunk's events, by their index.
type Remains struct {
	settled, unsure bitmap
}

// NewProgress remembers up to so many bytes, at least the latest chunk.
func NewProgress(most int) *Progress {
	return &Progress{seed: maphash.MakeSeed(), most: most, left: map[fingerprint][]*Remains{}}
}

func (p *Progress) of(data []byte, tag string) fingerprint {
	var h maphash.Hash
	h.SetSeed(p.seed)
	_, _ = h.WriteString(tag)
	_ = h.WriteByte(0)
	_, _ = h.Write(data)
	return fingerprint{h.Sum64(), len(data)}
}

// Take returns what was left of the chunk, and forgets it; nil where nothing was.
func (p *Progress) Take(data []byte, tag string) *Remains {
	p.mu.Lock()
	empty := len(p.left) == 0
	p.mu.Unlock()
	if empty {
		return nil // no chunk waits: none need be recognised
	}
	f := p.of(data, tag)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(f)
}

func (p *Progress) take(f fingerprint) *Remains {
	all := p.left[f]
	if len(all) == 0 {
		return nil
	}
	r := all[len(all)-1]
	if p.left[f] = all[:len(all)-1]; len(all) == 1 {
		delete(p.left, f)
	}
	p.bytes -= r.bytes()
	i := slices.Index(p.order, f)
	p.order = slices.Delete(p.order, i, i+1)
	return r
}

// Leave remembers a chunk that will come again.
func (p *Progress) Leave(data []byte, tag string, items []Item) {
	r := &Remains{settled: newBitmap(len(items)), unsure: newBitmap(len(items))}
	for i := range items {
		r.settled.set(i, items[i].Settled)
		r.unsure.set(i, items[i].Unsure)
	}
	f := p.of(data, tag)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left[f] = append(p.left[f], r)
	p.order = append(p.order, f)
	for p.bytes += r.bytes(); p.bytes > p.most && len(p.order) > 1; {
		p.take(p.order[0])
	}
}

// Restore marks the items of a chunk that came again, and returns how many are settled.
func (r *Remains) Restore(items []Item) (settled int) {
	for i := range items {
		items[i].Settled, items[i].Unsure = r.settled.at(i), r.unsure.at(i)
		if items[i].Settled {
			settled++
		}
	}
	return settled
}

// bytes is about what a chunk's remains cost.
func (r *Remains) bytes() int { return 128 + 8*(len(r.settled)+len(r.unsure)) }

type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) at(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 == 1 }

func (b bitmap) set(i int, on bool) {
	if on {
		b[i/64] |= 1 << (i % 64)
	}
}
