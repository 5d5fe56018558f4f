package msgpack_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/msgpack"
	"github.com/nova/novawire/internal/testing/chunks"
)

func TestNext(t *testing.T) {
	cases := map[string]struct {
		bytes []byte
		want  msgpack.Head
	}{
		"positive fixint": {[]byte{0x7f}, msgpack.Head{Kind: msgpack.Uint, Bits: 127}},
		"negative fixint": {[]byte{0xe0}, msgpack.Head{Kind: msgpack.Int, Bits: ^uint64(31)}},
		"fixstr":          {[]byte("\xa1x"), msgpack.Head{Kind: msgpack.String, N: 1}},
		"fixmap":          {[]byte{0x81, 1, 2}, msgpack.Head{Kind: msgpack.Map, N: 1}},
		"fixarray":        {[]byte{0x91, 1}, msgpack.Head{Kind: msgpack.Array, N: 1}},
		"nil":             {[]byte{0xc0}, msgpack.Head{Kind: msgpack.Nil}},
		"never used":      {[]byte{0xc1}, msgpack.Head{}},
		"false":           {[]byte{0xc2}, msgpack.Head{Kind: msgpack.Bool}},
		"true":            {[]byte{0xc3}, msgpack.Head{Kind: msgpack.Bool, Bits: 1}},
		"bin 8":           {[]byte{0xc4, 1, 9}, msgpack.Head{Kind: msgpack.Binary, N: 1}},
		"bin 32":          {[]byte{0xc6, 0, 0, 0, 1, 9}, msgpack.Head{Kind: msgpack.Binary, N: 1}},
		"ext 8":           {[]byte{0xc7, 1, 5, 9}, msgpack.Head{Kind: msgpack.Extension, N: 1, Bits: 5}},
		"float 32":        {[]byte{0xca, 0x3f, 0xc0, 0, 0}, msgpack.Head{Kind: msgpack.Float, Bits: math.Float64bits(1.5)}},
		"float 64":        {[]byte{0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0}, msgpack.Head{Kind: msgpack.Float, Bits: math.Float64bits(1.5)}},
		"uint 16":         {[]byte{0xcd, 1, 2}, msgpack.Head{Kind: msgpack.Uint, Bits: 258}},
		"int 8":           {[]byte{0xd0, 0xff}, msgpack.Head{Kind: msgpack.Int, Bits: math.MaxUint64}},
		"int 32":          {[]byte{0xd2, 0xff, 0xff, 0xff, 0xfe}, msgpack.Head{Kind: msgpack.Int, Bits: math.MaxUint64 - 1}},
		"fixext 8":        {[]byte{0xd7, 0, 1, 2, 3, 4, 5, 6, 7, 8}, msgpack.Head{Kind: msgpack.Extension, N: 8}},
		"str 16":          {[]byte{0xda, 0, 1, 'x'}, msgpack.Head{Kind: msgpack.String, N: 1}},
		"array 16":        {[]byte{0xdc, 0, 1, 0}, msgpack.Head{Kind: msgpack.Array, N: 1}},
		"map 32":          {[]byte{0xdf, 0, 0, 0, 1, 0, 0}, msgpack.Head{Kind: msgpack.Map, N: 1}},

		"nothing":                       {nil, msgpack.Head{}},
		"a string cut short":            {[]byte("\xa5four"), msgpack.Head{}},
		"a length cut short":            {[]byte{0xdb, 0, 0}, msgpack.Head{}},
		"a map of more than is left":    {[]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0}, msgpack.Head{}},
		"an extension without its type": {[]byte{0xd4}, msgpack.Head{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, _ := msgpack.Next(c.bytes)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("head (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSkip(t *testing.T) {
	value := chunks.Append(nil, chunks.Map{{"a", []any{1, "x", nil, chunks.Map{}}}, {"b", []byte("bin")}, {"c", 1.5}})
	rest, ok := msgpack.Skip(append(value, 0x2a))
	if !ok || !bytes.Equal(rest, []byte{0x2a}) {
		t.Errorf("rest %x, ok %v", rest, ok)
	}
	for n := range len(value) {
		if _, ok := msgpack.Skip(value[:n]); ok {
			t.Errorf("a value cut to %d of %d bytes was skipped", n, len(value))
		}
	}
}

func TestSkip_DeepNesting(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x91}, 4<<20), 0xc0)
	if rest, ok := msgpack.Skip(deep); !ok || len(rest) != 0 {
		t.Errorf("rest %d, ok %v", len(rest), ok)
	}
}
