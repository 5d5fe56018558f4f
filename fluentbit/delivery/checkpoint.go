package delivery

import (
	"hash/maphash"
	"slices"
	"sync"
)

// Checkpoints remembers which events of a chunk are settled when the chunk has to
// be retried, so that the retry continues from there. Fluent Bit gives chunks no
// identity; their bytes and tag serve as one. Of two equal chunks each takes the
// checkpoint of either, which is as good.
type Checkpoints struct {
	seed     maphash.Seed
	maxBytes int

	mu    sync.Mutex
	saved map[fingerprint][]*Checkpoint
	order []fingerprint // oldest first
	bytes int
}

type fingerprint struct {
	sum    uint64
	length int
}

// Checkpoint says which events of a chunk are settled or unsure, by their index.
type Checkpoint struct {
	settled, unsure bitmap
}

// NewCheckpoints returns an empty memory of at most maxBytes bytes. It always keeps
// the latest checkpoint.
func NewCheckpoints(maxBytes int) *Checkpoints {
	return &Checkpoints{seed: maphash.MakeSeed(), maxBytes: maxBytes, saved: map[fingerprint][]*Checkpoint{}}
}

func (c *Checkpoints) fingerprint(data []byte, tag string) fingerprint {
	var h maphash.Hash
	h.SetSeed(c.seed)
	_, _ = h.WriteString(tag)
	_ = h.WriteByte(0)
	_, _ = h.Write(data)
	return fingerprint{h.Sum64(), len(data)}
}

// Take removes and returns the checkpoint of a chunk, or nil if there is none.
func (c *Checkpoints) Take(data []byte, tag string) *Checkpoint {
	c.mu.Lock()
	empty := len(c.saved) == 0
	c.mu.Unlock()
	if empty {
		return nil // hashing the chunk is not needed
	}
	f := c.fingerprint(data, tag)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.take(f)
}

func (c *Checkpoints) take(f fingerprint) *Checkpoint {
	all := c.saved[f]
	if len(all) == 0 {
		return nil
	}
	r := all[len(all)-1]
	if c.saved[f] = all[:len(all)-1]; len(all) == 1 {
		delete(c.saved, f)
	}
	c.bytes -= r.bytes()
	i := slices.Index(c.order, f)
	c.order = slices.Delete(c.order, i, i+1)
	return r
}

// Save stores the checkpoint of a chunk that will be retried. Beyond the limit it
// removes the oldest.
func (c *Checkpoints) Save(data []byte, tag string, items []Item) {
	r := &Checkpoint{settled: newBitmap(len(items)), unsure: newBitmap(len(items))}
	for i := range items {
		r.settled.set(i, items[i].Settled)
		r.unsure.set(i, items[i].Unsure)
	}
	f := c.fingerprint(data, tag)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saved[f] = append(c.saved[f], r)
	c.order = append(c.order, f)
	for c.bytes += r.bytes(); c.bytes > c.maxBytes && len(c.order) > 1; {
		c.take(c.order[0])
	}
}

// Restore marks the items of a retried chunk and returns how many are settled.
func (k *Checkpoint) Restore(items []Item) (settled int) {
	for i := range items {
		items[i].Settled, items[i].Unsure = k.settled.at(i), k.unsure.at(i)
		if items[i].Settled {
			settled++
		}
	}
	return settled
}

// bytes returns roughly the memory of a checkpoint.
func (k *Checkpoint) bytes() int { return 128 + 8*(len(k.settled)+len(k.unsure)) }

type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) at(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 == 1 }

func (b bitmap) set(i int, on bool) {
	if on {
		b[i/64] |= 1 << (i % 64)
	}
}
