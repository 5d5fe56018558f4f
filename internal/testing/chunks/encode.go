// Package chunks encodes chunks for tests and benchmarks of the plugin, as Fluent
// Bit and its filters write them.
package chunks

import (
	"encoding/binary"
	"math"
	"time"
)

// Map is an ordered map: pairs of key and value.
type Map [][2]any

// EventTime is Fluent Bit's time with nanoseconds, extension type 0.
type EventTime time.Time

// Raw is encoded MessagePack.
type Raw []byte

// Append encodes a value: nil, bool, int, uint64, float64, string, []byte
// (binary), []any, Map, EventTime or Raw.
func Append(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, 0xc0)
	case bool:
		if v {
			return append(b, 0xc3)
		}
		return append(b, 0xc2)
	case int:
		return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
	case uint64:
		return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(v))
	case string:
		return append(appendLength(b, 0xd9, 0xda, 0xdb, len(v)), v...)
	case []byte:
		return append(appendLength(b, 0xc4, 0xc5, 0xc6, len(v)), v...)
	case Raw:
		return append(b, v...)
	case EventTime:
		b = append(b, 0xd7, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(time.Time(v).Unix()))
		return binary.BigEndian.AppendUint32(b, uint32(time.Time(v).Nanosecond()))
	case []any:
		b = appendLength(b, 0, 0xdc, 0xdd, len(v))
		for _, element := range v {
			b = Append(b, element)
		}
		return b
	case Map:
		b = appendLength(b, 0, 0xde, 0xdf, len(v))
		for _, pair := range v {
			b = Append(Append(b, pair[0]), pair[1])
		}
		return b
	}
	panic("chunks: cannot encode this type")
}

// appendLength writes the shortest form. tiny is 0 for types without an 8-bit
// length.
func appendLength(b []byte, tiny, short, long byte, n int) []byte {
	switch {
	case tiny == 0xd9 && n < 32:
		return append(b, 0xa0|byte(n))
	case tiny == 0 && n < 16 && short == 0xdc:
		return append(b, 0x90|byte(n))
	case tiny == 0 && n < 16:
		return append(b, 0x80|byte(n))
	case tiny != 0 && n <= math.MaxUint8:
		return append(b, tiny, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, short), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, long), uint32(n))
	}
}

// V1 encodes a record of Fluent Bit before 2.1: [time, map].
func V1(at any, body any) Raw { return Append(nil, []any{at, body}) }

// V2 encodes a record of Fluent Bit since 2.1: [[time, metadata], map].
func V2(at any, metadata, body any) Raw { return Append(nil, []any{[]any{at, metadata}, body}) }

// GroupStart encodes the record that opens a group, which has a negative time
// (since Fluent Bit 3.2).
func GroupStart(metadata, body any) Raw {
	return Append(nil, []any{[]any{Raw{0xd7, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, metadata}, body})
}

// GroupEnd encodes the record that closes a group.
func GroupEnd() Raw {
	return Append(nil, []any{[]any{Raw{0xd7, 0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0}, Map{}}, Map{}})
}

// Chunk joins records.
func Chunk(records ...Raw) (chunk []byte) {
	for _, r := range records {
		chunk = append(chunk, r...)
	}
	return chunk
}
