package record

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/nova/novawire/fluentbit/msgpack"
)

// maxValueDepth is the depth up to which values are written as JSON. Deeper
// values are written as the base64 of their MessagePack.
const maxValueDepth = 64

// appendValue appends the first value of b as JSON text and returns the rest of
// b. The value must be complete: msgpack.Skip has passed it.
func appendValue(to, b []byte, depth int) (text, rest []byte) {
	h, rest := msgpack.Next(b)
	switch h.Kind {
	case msgpack.Bool:
		return strconv.AppendBool(to, h.Bits == 1), rest
	case msgpack.Int:
		return strconv.AppendInt(to, int64(h.Bits), 10), rest
	case msgpack.Uint:
		return strconv.AppendUint(to, h.Bits, 10), rest
	case msgpack.Float:
		return appendFloat(to, h.Float64()), rest
	case msgpack.String, msgpack.Binary:
		return appendText(to, rest[:h.N]), rest[h.N:]
	case msgpack.Extension:
		return appendExtension(to, h, rest[:h.N]), rest[h.N:]
	case msgpack.Array, msgpack.Map:
		if depth == 0 {
			rest, _ = msgpack.Skip(b)
			return appendBase64(to, b[:len(b)-len(rest)]), rest
		}
		if h.Kind == msgpack.Array {
			return appendArray(to, h.N, rest, depth-1)
		}
		return appendMap(to, h.N, rest, depth-1)
	default:
		return append(to, "null"...), rest
	}
}

func appendArray(to []byte, n int, b []byte, depth int) (text, rest []byte) {
	to = append(to, '[')
	for i := range n {
		if i > 0 {
			to = append(to, ',')
		}
		to, b = appendValue(to, b, depth)
	}
	return append(to, ']'), b
}

func appendMap(to []byte, n int, b []byte, depth int) (text, rest []byte) {
	to = append(to, '{')
	for i := range n {
		if i > 0 {
			to = append(to, ',')
		}
		to, b = appendKey(to, b)
		to, b = appendValue(append(to, ':'), b, depth)
	}
	return append(to, '}'), b
}

// appendKey writes a key that is not text as the text of its JSON, and a map or
// array as base64: escaping it once for each level would double its length each
// time.
func appendKey(to, b []byte) (text, rest []byte) {
	if text, rest, ok := msgpack.Text(b); ok {
		return appendText(to, text), rest
	}
	if h, _ := msgpack.Next(b); h.Kind == msgpack.Map || h.Kind == msgpack.Array {
		rest, _ = msgpack.Skip(b)
		return appendBase64(to, b[:len(b)-len(rest)]), rest
	}
	key, rest := appendValue(nil, b, maxValueDepth)
	return appendString(to, key), rest
}

// appendText writes text with U+FFFD in place of invalid UTF-8.
func appendText(to, text []byte) []byte {
	if !utf8.Valid(text) {
		text, _ = validUTF8(text, nil)
	}
	return appendString(to, text)
}

// appendFloat writes NaN and the infinities, which JSON lacks, as strings.
func appendFloat(to []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(strconv.AppendFloat(append(to, '"'), f, 'g', -1, 64), '"')
	}
	return strconv.AppendFloat(to, f, 'g', -1, 64)
}

// appendExtension writes Fluent Bit's times as seconds, and an unknown extension
// with its type.
func appendExtension(to []byte, h msgpack.Head, payload []byte) []byte {
	if at, ok := eventTime(h, payload); ok {
		return strconv.AppendFloat(to, at.seconds(), 'f', -1, 64)
	}
	to = strconv.AppendInt(append(to, `{"type":`...), int64(h.Bits), 10)
	to = appendBase64(append(to, `,"base64":`...), payload)
	return append(to, '}')
}

func appendBase64(to, b []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(to, '"'), b), '"')
}
