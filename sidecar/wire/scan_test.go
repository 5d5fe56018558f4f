package wire

import (
	"bytes"
	"errors"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

func TestScan(t *testing.T) {
	for signal, request := range samples(t) {
		t.Run(signal.String(), func(t *testing.T) {
			sum, err := Scan(signal, request)
			if err != nil {
				t.Fatal(err)
			}
			if want := countByPdata(t, signal, request); sum.Items != want {
				t.Errorf("counts %d items, pdata %d", sum.Items, want)
			}
			if sum.InvalidText || sum.Resources != 3 || sum.LargestItem == 0 {
				t.Errorf("got %+v for %d bytes", sum, len(request))
			}
		})
	}
}

// nested is a span whose attribute holds lists in lists.
func nested(depth int, value []byte) []byte {
	for range depth {
		list := lengthDelimited(1, value) // ArrayValue.values
		value = lengthDelimited(5, list)  // AnyValue.array_value
	}
	attribute := append(lengthDelimited(1, []byte("key")), lengthDelimited(2, value)...)
	return lengthDelimited(1, lengthDelimited(2, lengthDelimited(2, lengthDelimited(9, attribute))))
}

func lengthDelimited(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func TestScan_Refuses(t *testing.T) {
	cases := map[string]struct {
		request []byte
		want    error
	}{
		"a value nested as deep as is allowed": {nested(47, lengthDelimited(5, nil)), nil}, // a hundred messages
		"a value nested deeper":                {nested(48, nil), ErrTooDeep},
		"a tag that breaks off":                {[]byte{0x80}, ErrMalformed},
		"a length beyond the end":              {[]byte{0x0a, 0x05, 0}, ErrMalformed},
		"a length one beyond the end":          {[]byte{0x0a, 0x02, 0, 0}[:3], ErrMalformed},
		"a field number of zero":               {[]byte{0x02, 0x00}, ErrMalformed},
		"a field number beyond protobuf's":     {[]byte{0x80, 0x80, 0x80, 0x80, 0x10, 0}, ErrMalformed},
		"the largest field number":             {[]byte{0xf8, 0xff, 0xff, 0xff, 0x0f, 0}, nil},
		"a tag of five bytes":                  {[]byte{0x98, 0x86, 0x80, 0x80, 0x00, 0}, nil},
		"a tag of six bytes":                   {[]byte{0x98, 0x86, 0x80, 0x80, 0x80, 0x00, 0}, ErrMalformed},
		"a message that breaks off inside":     {lengthDelimited(1, []byte{0x12, 0x7f}), ErrMalformed},
		"an unknown field":                     {lengthDelimited(99, []byte("x")), nil},
		"nothing":                              {nil, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Scan(ledger.Traces, c.request); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("a metric with two kinds of data, of which decoders keep one", func(t *testing.T) {
		point := lengthDelimited(1, nil)
		metric := func(data ...[]byte) []byte {
			return lengthDelimited(1, lengthDelimited(2, lengthDelimited(2, bytes.Join(data, nil))))
		}
		if sum, err := Scan(ledger.Metrics, metric(lengthDelimited(5, point))); err != nil || sum.Items != 1 {
			t.Errorf("one kind: %+v, %v", sum, err)
		}
		for _, second := range []protowire.Number{5, 7} {
			if _, err := Scan(ledger.Metrics, metric(lengthDelimited(5, point), lengthDelimited(second, point))); !errors.Is(err, ErrMalformed) {
				t.Errorf("5 and %d: %v", second, err)
			}
		}
	})
}

// Each field of each message is accepted as pdata decodes it, in every wire type and
// with values of several lengths: a backend that cannot decode one item refuses all
// that are sent with it.
// overlong is a tag in more bytes than it needs.
func overlong(n protowire.Number, t protowire.Type) []byte {
	tag := protowire.AppendTag(nil, n, t)
	tag[len(tag)-1] |= 0x80
	return append(tag, 0x80, 0)
}

func TestScan_AgreesWithPdata(t *testing.T) {
	fields := func(n protowire.Number) (all [][]byte) {
		all = [][]byte{
			protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), 1),
			protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), 128),
			protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), 1<<63),
			protowire.AppendVarint(overlong(n, protowire.VarintType), 1),
			protowire.AppendBytes(overlong(n, protowire.BytesType), nil),
			protowire.AppendTag(nil, n, protowire.VarintType), // without its value
			protowire.AppendTag(nil, n, protowire.BytesType),
			append(protowire.AppendTag(nil, n, protowire.Fixed64Type), "1234567"...),
			append(protowire.AppendTag(nil, n, protowire.BytesType), 2, 0), // a byte too short
			protowire.AppendFixed32(protowire.AppendTag(nil, n, protowire.Fixed32Type), 1),
			protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), 1),
			protowire.AppendTag(protowire.AppendTag(nil, n, protowire.StartGroupType), n, protowire.EndGroupType),
			protowire.AppendTag(nil, n, protowire.EndGroupType),
		}
		for _, value := range []string{"", "x", "12345678", "12345678\x80", "1234567812345678", "12345678123456781"} {
			all = append(all, lengthDelimited(n, []byte(value)))
		}
		return all
	}
	for _, signal := range ledger.Signals {
		tried, seen := 0, map[*message]bool{}
		var walk func(m *message, wrap func([]byte) []byte)
		walk = func(m *message, wrap func([]byte) []byte) {
			if seen[m] {
				return
			}
			seen[m] = true
			for n := protowire.Number(1); n <= maxField+1; n++ {
				for _, field := range fields(n) {
					request := wrap(field)
					_, err := Scan(signal, request)
					if byPdata := unmarshal(signal, request); (err == nil) != (byPdata == nil) {
						t.Errorf("%s: %x: %v; pdata: %v", signal, request, err, byPdata)
					}
					tried++
				}
				if f := m.field(n); f.to != nil {
					walk(f.to, func(content []byte) []byte { return wrap(lengthDelimited(n, content)) })
				}
			}
		}
		walk(requests[signal], func(content []byte) []byte { return content })
		if tried < 1000 {
			t.Errorf("%s: tried %d", signal, tried)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	request := samples(b)[ledger.Traces]
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if _, err := Scan(ledger.Traces, request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeByPdata(b *testing.B) {
	request := samples(b)[ledger.Traces]
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if err := ptraceotlp.NewExportRequest().UnmarshalProto(request); err != nil {
			b.Fatal(err)
		}
	}
}
