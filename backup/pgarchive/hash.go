package pgarchive

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
)

// Sum is a fingerprint: equal content gives equal sums, and different content
// different ones but for 1 in 2^64. It is no cryptographic hash: it finds
// mistakes, SHA-256 over the stored bytes finds intent.
type Sum uint64

// MarshalJSON writes hexadecimal: JSON's numbers lose the low bits.
func (s Sum) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprintf("%016x", uint64(s))) }

// UnmarshalJSON reads it back.
func (s *Sum) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	v, err := strconv.ParseUint(text, 16, 64)
	*s = Sum(v)
	return err
}

// hash is a 64-bit hash of a byte string that may come in pieces: each word of
// eight bytes is folded in with a 128-bit product, then the length.
type hash struct {
	state   uint64
	partial uint64 // bytes of an unfinished word, the first lowest
	pending int    // how many
	length  uint64
}

const seed, factor = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93

// fold multiplies to 128 bits and puts the halves together.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func mix(a, b uint64) uint64 { return fold(a^seed, b^factor) }

func (h *hash) word(w uint64) {
	h.state = fold(h.state^w^seed, factor)
	h.length += 8
}

// tail takes the lowest k bytes of a word, k below 8, where none are pending.
func (h *hash) tail(w uint64, k int) {
	h.partial, h.pending = w&(1<<(8*k)-1), k
	h.length += uint64(k)
}

func (h *hash) byte(b byte) {
	h.partial |= uint64(b) << (8 * h.pending)
	h.pending++
	h.length++
	if h.pending == 8 {
		w := h.partial
		h.partial, h.pending = 0, 0
		h.length -= 8
		h.word(w)
	}
}

func (h *hash) Write(p []byte) (int, error) {
	for _, b := range p {
		h.byte(b)
	}
	return len(p), nil
}

func (h *hash) sum() uint64 {
	return mix(fold(h.state^h.partial^factor, seed), h.length)
}

func textSum(text string) Sum {
	var h hash
	_, _ = h.Write([]byte(text))
	return Sum(h.sum())
}
