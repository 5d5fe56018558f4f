// Package msgpack reads MessagePack in place: it finds where values begin and end
// and copies nothing. The input may be invalid; every function reports that, and
// none reads beyond its input.
package msgpack

import (
	"encoding/binary"
	"math"
)

// Kind is a family of the format (MessagePack specification, "Types").
type Kind uint8

// The kinds. Invalid is a byte that the format does not define, or a truncated
// value.
const (
	Invalid Kind = iota
	Nil
	Bool
	Int
	Uint
	Float
	String
	Binary
	Array
	Map
	Extension
)

// Head is the decoded beginning of a value.
type Head struct {
	Kind Kind
	// N is the number of bytes of a String, Binary or Extension, of elements of
	// an Array, or of pairs of a Map.
	N int
	// Bits is the value of Bool (0, 1), Int (two's complement), Uint, Float
	// (IEEE 754, as a float64), and the type of an Extension.
	Bits uint64
}

// Int64 returns the value of an Int or Uint. A value beyond int64 becomes the
// largest.
func (h Head) Int64() int64 {
	if h.Kind == Uint && h.Bits > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(h.Bits)
}

// Float64 returns the value of a Float.
func (h Head) Float64() float64 { return math.Float64frombits(h.Bits) }

// Next reads the head of the first value and returns the bytes after it: the
// payload, the elements or the next value. A payload is complete, and an Array or
// Map has no more elements than there are bytes left.
func Next(b []byte) (Head, []byte) {
	if len(b) == 0 {
		return Head{}, nil
	}
	switch c := b[0]; {
	case c <= 0x7f:
		return Head{Kind: Uint, Bits: uint64(c)}, b[1:]
	case c >= 0xe0:
		return Head{Kind: Int, Bits: uint64(int8(c))}, b[1:]
	case c >= 0xa0 && c <= 0xbf:
		return sized(String, int(c&0x1f), 0, b[1:])
	case c <= 0x8f:
		return sized(Map, int(c&0x0f), 0, b[1:])
	case c <= 0x9f:
		return sized(Array, int(c&0x0f), 0, b[1:])
	default:
		return long(c, b[1:])
	}
}

// shape describes the bytes 0xc0 to 0xdf: the kind, the number of bytes of a
// number or length that follow, and whether a type follows.
type shape struct {
	kind   Kind
	number int
	length int // bytes of a length; -n for a fixed length of n
	typed  bool
}

var shapes = [32]shape{
	0x00: {kind: Nil}, 0x02: {kind: Bool}, 0x03: {kind: Bool},
	0x04: {kind: Binary, length: 1}, 0x05: {kind: Binary, length: 2}, 0x06: {kind: Binary, length: 4},
	0x07: {kind: Extension, length: 1, typed: true}, 0x08: {kind: Extension, length: 2, typed: true}, 0x09: {kind: Extension, length: 4, typed: true},
	0x0a: {kind: Float, number: 4}, 0x0b: {kind: Float, number: 8},
	0x0c: {kind: Uint, number: 1}, 0x0d: {kind: Uint, number: 2}, 0x0e: {kind: Uint, number: 4}, 0x0f: {kind: Uint, number: 8},
	0x10: {kind: Int, number: 1}, 0x11: {kind: Int, number: 2}, 0x12: {kind: Int, number: 4}, 0x13: {kind: Int, number: 8},
	0x14: {kind: Extension, length: -1, typed: true}, 0x15: {kind: Extension, length: -2, typed: true}, 0x16: {kind: Extension, length: -4, typed: true},
	0x17: {kind: Extension, length: -8, typed: true}, 0x18: {kind: Extension, length: -16, typed: true},
	0x19: {kind: String, length: 1}, 0x1a: {kind: String, length: 2}, 0x1b: {kind: String, length: 4},
	0x1c: {kind: Array, length: 2}, 0x1d: {kind: Array, length: 4},
	0x1e: {kind: Map, length: 2}, 0x1f: {kind: Map, length: 4},
}

func long(c byte, b []byte) (Head, []byte) {
	s := shapes[c-0xc0]
	switch {
	case s.kind == Invalid || len(b) < s.number+max(s.length, 0):
		return Head{}, nil
	case s.number > 0:
		return Head{Kind: s.kind, Bits: number(s, b)}, b[s.number:]
	case s.length == 0:
		return Head{Kind: s.kind, Bits: uint64(c & 1)}, b
	}
	n := -s.length
	if s.length > 0 {
		n = int(bigEndian(b[:s.length]))
		b = b[s.length:]
	}
	var typ uint64
	if s.typed {
		if len(b) == 0 {
			return Head{}, nil
		}
		typ, b = uint64(int8(b[0])), b[1:]
	}
	return sized(s.kind, n, typ, b)
}

// sized returns Invalid if the value claims to be longer than the rest.
func sized(kind Kind, n int, typ uint64, b []byte) (Head, []byte) {
	least := n
	if kind == Map {
		least = 2 * n
	}
	if least > len(b) {
		return Head{}, nil
	}
	return Head{Kind: kind, N: n, Bits: typ}, b
}

func number(s shape, b []byte) uint64 {
	n := bigEndian(b[:s.number])
	switch {
	case s.kind == Float && s.number == 4:
		return math.Float64bits(float64(math.Float32frombits(uint32(n))))
	case s.kind == Int: // extend the sign
		shift := 64 - 8*s.number
		return uint64(int64(n<<shift) >> shift)
	}
	return n
}

func bigEndian(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	default:
		return binary.BigEndian.Uint64(b)
	}
}

// Skip returns the bytes after the first value, or false if the value is invalid
// or truncated. It does not recurse, so nesting costs no stack.
func Skip(b []byte) ([]byte, bool) {
	for left := 1; left > 0; left-- {
		h, rest := Next(b)
		switch h.Kind {
		case Invalid:
			return nil, false
		case String, Binary, Extension:
			rest = rest[h.N:]
		case Array:
			left += h.N
		case Map:
			left += 2 * h.N
		default: // Next has skipped it whole
		}
		b = rest
	}
	return b, true
}

// Text returns the payload of the first value if it is a String or Binary, and
// the bytes after it.
func Text(b []byte) (payload, rest []byte, ok bool) {
	h, rest := Next(b)
	if h.Kind != String && h.Kind != Binary {
		return nil, nil, false
	}
	return rest[:h.N:h.N], rest[h.N:], true
}
