package pgarchive

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
)

// Sum is a fingerprint. Equal content has equal sums; different content has equal sums
// with a probability of 1 in 2^64. It is not a cryptographic hash: it finds mistakes, and
// the SHA-256 of the stored bytes finds manipulation.
type Sum uint64

// MarshalJSON writes the sum in hexadecimal, because a JSON number would lose its low bits.
func (s Sum) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprintf("%016x", uint64(s))) }

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sum) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	v, err := strconv.ParseUint(text, 16, 64)
	*s = Sum(v)
	return err
}

// hash computes a 64-bit hash of bytes that may be written in pieces. Each word of eight
// bytes, and finally the length, is folded into the state by a 128-bit product.
type hash struct {
	state   uint64
	partial uint64 // the bytes of an unfinished word, in little-endian order
	pending int    // how many bytes partial has
	length  uint64
}

const seed, factor = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93

// fold returns the exclusive or of the halves of the 128-bit product.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func mix(a, b uint64) uint64 { return fold(a^seed, b^factor) }

func (h *hash) word(w uint64) {
	h.state = fold(h.state^w^seed, factor)
	h.length += 8
}

// tail adds the lowest k bytes of a word. k is less than 8, and no byte is pending.
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
