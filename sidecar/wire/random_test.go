package wire

import (
	"bytes"
	"math/rand/v2"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nova/novawire/sidecar/ledger"
)

// newOfficial returns an export request of opentelemetry-proto, which knows its fields
// from OTLP's own descriptors.
func newOfficial(signal ledger.Signal) proto.Message {
	switch signal {
	case ledger.Metrics:
		return new(colmetrics.ExportMetricsServiceRequest)
	case ledger.Logs:
		return new(collogs.ExportLogsServiceRequest)
	}
	return new(coltrace.ExportTraceServiceRequest)
}

// generator makes requests that the descriptors allow, in every form that protobuf allows:
// fields in any order, singular ones several times, numbers in more bytes than they
// need, lists packed or not, unknown fields.
type generator struct {
	*rand.Rand
	old     bool     // scopes may be in their old place
	invalid bool     // texts may not be UTF-8
	texts   []string // nil: some that matter to the completion of resources
}

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

// message returns the fields of a message twice: as a sender may write them, and with
// all scopes in the place of today.
func (g *generator) message(d protoreflect.MessageDescriptor, depth int) (sent, today []byte) {
	var fields [][2][]byte
	data := g.IntN(d.Fields().Len()) // of a metric, which has one kind: two are refused
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		times := g.IntN(2)
		if f.Kind() == protoreflect.MessageKind {
			switch {
			case depth > 10:
				times = 0
			case depth < 5 && f.IsList():
				times = 1 + g.IntN(2)
			}
		}
		switch {
		case d.Name() == "Metric" && f.ContainingOneof() != nil:
			times = 0
			if i == data {
				times = 1
			}
		case f.ContainingOneof() != nil && !g.one(f.ContainingOneof().Fields().Len()):
			times = 0
		case times > 0 && g.one(12):
			times++
		}
		for range times {
			sent, today := g.field(f, depth)
			fields = append(fields, [2][]byte{sent, today})
		}
	}
	if g.one(8) {
		unknown := g.unknown()
		fields = append(fields, [2][]byte{unknown, unknown})
	}
	if g.one(2) {
		g.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	for _, f := range fields {
		sent, today = append(sent, f[0]...), append(today, f[1]...)
	}
	return sent, today
}

func (g *generator) field(f protoreflect.FieldDescriptor, depth int) (sent, today []byte) {
	switch n := f.Number(); f.Kind() {
	case protoreflect.MessageKind:
		sent, today = g.message(f.Message(), depth+1)
		place := n
		if g.old && depth == 1 && n == scopes && g.one(4) {
			place = oldScopes
		}
		return g.lengthDelimited(place, sent), g.lengthDelimited(n, today)
	case protoreflect.StringKind:
		sent = g.lengthDelimited(n, []byte(g.text()))
	case protoreflect.BytesKind:
		sent = g.lengthDelimited(n, g.bytes(f))
	default:
		sent = g.number(f)
	}
	return sent, sent
}

// tag is sometimes longer than it need be, and so is a length.
func (g *generator) tag(n protowire.Number, t protowire.Type) []byte {
	return g.varint(protowire.EncodeTag(n, t))
}

func (g *generator) varint(v uint64) []byte {
	b := protowire.AppendVarint(nil, v)
	if g.one(30) && len(b)+2 <= maxTag {
		b[len(b)-1] |= 0x80
		b = append(b, 0x80, 0)
	}
	return b
}

func (g *generator) lengthDelimited(n protowire.Number, value []byte) []byte {
	return append(append(g.tag(n, protowire.BytesType), g.varint(uint64(len(value)))...), value...)
}

func (g *generator) text() string {
	if g.texts != nil {
		return g.texts[g.IntN(len(g.texts))]
	}
	texts := []string{"", "service.name", "service.name", "k8s.pod.name", "unknown_service", "unknown_service:java", "cart", "ein Täxt", "with\xff", "\xc3\x28", "\xed\xa0\x80"}
	if g.invalid && g.one(3) {
		return texts[g.IntN(len(texts))]
	}
	return texts[g.IntN(len(texts)-3)]
}

func (g *generator) bytes(f protoreflect.FieldDescriptor) []byte {
	size := map[protoreflect.Name]int{"trace_id": 16, "span_id": 8, "parent_span_id": 8}[f.Name()]
	if size == 0 {
		size = g.IntN(4)
	} else if g.one(6) {
		size = 0
	}
	return bytes.Repeat([]byte{byte(1 + g.IntN(255))}, size)
}

var numbers = []uint64{0, 1, 2, 127, 128, 1 << 31, 1<<63 - 1, 1 << 63, 1<<64 - 1}

func (g *generator) number(f protoreflect.FieldDescriptor) []byte {
	var (
		value  []byte
		single protowire.Type
	)
	one := func() (b []byte) {
		v := numbers[g.IntN(len(numbers))]
		switch f.Kind() {
		case protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
			single, b = protowire.Fixed64Type, protowire.AppendFixed64(nil, v)
		case protoreflect.Fixed32Kind:
			single, b = protowire.Fixed32Type, protowire.AppendFixed32(nil, uint32(v)) //nolint:gosec // any bits
		default:
			single, b = protowire.VarintType, protowire.AppendVarint(nil, v)
		}
		return b
	}
	if f.IsList() && !g.one(3) {
		for range g.IntN(4) {
			value = append(value, one()...)
		}
		return g.lengthDelimited(f.Number(), value)
	}
	value = one()
	return append(g.tag(f.Number(), single), value...)
}

func (g *generator) unknown() []byte {
	n := []protowire.Number{17, 99, 999, 1001, 100_000, protowire.MaxValidNumber}[g.IntN(6)]
	switch g.IntN(4) {
	case 0:
		return append(g.tag(n, protowire.VarintType), g.varint(g.Uint64())...)
	case 1:
		return protowire.AppendFixed32(g.tag(n, protowire.Fixed32Type), g.Uint32())
	case 2:
		return protowire.AppendFixed64(g.tag(n, protowire.Fixed64Type), g.Uint64())
	}
	return g.lengthDelimited(n, bytes.Repeat([]byte{0xff}, g.IntN(5)))
}

// mutate changes some bytes, whatever they stand for.
func (g *generator) mutate(request []byte) []byte {
	for range 1 + g.IntN(3) {
		if len(request) == 0 {
			return request
		}
		at := g.IntN(len(request))
		switch g.IntN(5) {
		case 0:
			request[at] ^= 1 << g.IntN(8)
		case 1:
			request[at] = byte(g.IntN(256))
		case 2:
			request = request[:at]
		case 3:
			request = append(request[:at:at], request[at+1:]...)
		case 4:
			request = append(append(request[:at:at], byte(g.IntN(256))), request[at:]...)
		}
	}
	return request
}
