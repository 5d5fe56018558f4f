// Package wire reads and changes OTLP requests in protobuf's wire form, without
// decoding them: it checks them and counts their items, cuts them into smaller
// requests, redacts secrets, repairs text that is not UTF-8 and completes resources. Messages and
// field numbers are those of opentelemetry-proto 1.x. It decides nothing.
package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

// message describes one message type of OTLP.
type message struct {
	resource bool // what holds a resource and its scopes
	item     bool // a span, a data point or a log record
	oneof    bool // of its fields on the path to the items there is one at most
	fields   [maxField + 1]field
}

// field describes a field.
type field struct {
	kind kind
	to   *message // of kind child and path
	free bool     // a text that is about one item: not the name of something that comes again
}

type kind uint8

const (
	unknown kind = iota // of a later version of OTLP: passed over, whatever it holds
	varint
	fixed32
	fixed64
	text   // must be UTF-8
	binary // bytes
	traceID
	spanID
	packedFixed64 // a list: packed, or one element
	packedVarint
	child // a message
	path  // a message on the way to the items
)

// wireTypes is a set of protobuf's wire types.
type wireTypes uint8

func setOf(types ...protowire.Type) (set wireTypes) {
	for _, t := range types {
		set |= 1 << t
	}
	return set
}

// allowed are the wire types of each kind. A list of numbers may be packed or not
// (protobuf encoding, "Packed Repeated Fields"). No field is a group: those are of an
// older protobuf, and not all libraries read them.
var allowed = [...]wireTypes{
	unknown: setOf(protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type, protowire.BytesType),
	varint:  setOf(protowire.VarintType), fixed32: setOf(protowire.Fixed32Type), fixed64: setOf(protowire.Fixed64Type),
	text: setOf(protowire.BytesType), binary: setOf(protowire.BytesType), traceID: setOf(protowire.BytesType), spanID: setOf(protowire.BytesType),
	packedFixed64: setOf(protowire.BytesType, protowire.Fixed64Type), packedVarint: setOf(protowire.BytesType, protowire.VarintType),
	child: setOf(protowire.BytesType), path: setOf(protowire.BytesType),
}

const (
	maxField = 16
	// oldScopes is where senders before OTLP 0.15 put their scopes; they have the
	// place of the field 2 of today.
	oldScopes, scopes = 1000, 2
)

// field returns the description of a field by its number.
func (m *message) field(number protowire.Number) *field {
	if number <= maxField {
		return &m.fields[number]
	}
	if number == oldScopes && m.resource {
		return &m.fields[scopes]
	}
	return &unknownField
}

var (
	unknownField field
	free         = field{kind: text, free: true}
)

// requests are the export requests, by signal.
var requests = [...]*message{ledger.Traces: traces(), ledger.Metrics: metrics(), ledger.Logs: logs()}

var (
	anyValue  = &message{}
	keyValue  = &message{fields: fields{1: {kind: text}, 2: {kind: child, to: anyValue}, 3: {kind: varint}}.array()}
	entityRef = &message{fields: fields{1: {kind: text}, 2: {kind: text}, 3: {kind: text}, 4: {kind: text}}.array()}
	resource  = &message{fields: fields{1: {kind: child, to: keyValue}, 2: {kind: varint}, 3: {kind: child, to: entityRef}}.array()}
	scope     = &message{fields: fields{1: {kind: text}, 2: {kind: text}, 3: {kind: child, to: keyValue}, 4: {kind: varint}}.array()}
	exemplar  = &message{fields: fields{
		2: {kind: fixed64}, 3: {kind: fixed64}, 4: {kind: spanID}, 5: {kind: traceID}, 6: {kind: fixed64}, 7: {kind: child, to: keyValue},
	}.array()}
)

func init() { // an AnyValue holds others
	list := &message{fields: fields{1: {kind: child, to: anyValue}}.array()}
	pairs := &message{fields: fields{1: {kind: child, to: keyValue}}.array()}
	anyValue.fields = fields{
		1: {kind: text}, 2: {kind: varint}, 3: {kind: varint}, 4: {kind: fixed64},
		5: {kind: child, to: list}, 6: {kind: child, to: pairs}, 7: {kind: binary}, 8: {kind: varint},
	}.array()
}

type fields map[int]field

func (f fields) array() (array [maxField + 1]field) {
	for number, description := range f {
		array[number] = description
	}
	return array
}

// request is what the requests of all signals have in common: resources, which
// hold scopes, which hold elements.
func request(element *message) *message {
	scopes := &message{fields: fields{1: {kind: child, to: scope}, 2: {kind: path, to: element}, 3: {kind: text}}.array()}
	resources := &message{resource: true, fields: fields{1: {kind: child, to: resource}, 2: {kind: path, to: scopes}, 3: {kind: text}}.array()}
	return &message{fields: fields{1: {kind: path, to: resources}}.array()}
}

func traces() *message {
	event := &message{fields: fields{1: {kind: fixed64}, 2: free, 3: {kind: child, to: keyValue}, 4: {kind: varint}}.array()}
	link := &message{fields: fields{
		1: {kind: traceID}, 2: {kind: spanID}, 3: free, 4: {kind: child, to: keyValue}, 5: {kind: varint}, 6: {kind: fixed32},
	}.array()}
	status := &message{fields: fields{2: free, 3: {kind: varint}}.array()}
	return request(&message{item: true, fields: fields{
		1: {kind: traceID}, 2: {kind: spanID}, 3: free, 4: {kind: spanID}, 5: free, 6: {kind: varint},
		7: {kind: fixed64}, 8: {kind: fixed64}, 9: {kind: child, to: keyValue}, 10: {kind: varint},
		11: {kind: child, to: event}, 12: {kind: varint}, 13: {kind: child, to: link}, 14: {kind: varint},
		15: {kind: child, to: status}, 16: {kind: fixed32},
	}.array()})
}

func logs() *message {
	return request(&message{item: true, fields: fields{
		1: {kind: fixed64}, 2: {kind: varint}, 3: {kind: text}, 5: {kind: child, to: anyValue}, 6: {kind: child, to: keyValue}, 7: {kind: varint},
		8: {kind: fixed32}, 9: {kind: traceID}, 10: {kind: spanID}, 11: {kind: fixed64}, 12: free,
	}.array()})
}

func metrics() *message {
	number := &message{item: true, fields: fields{
		2: {kind: fixed64}, 3: {kind: fixed64}, 4: {kind: fixed64}, 5: {kind: child, to: exemplar}, 6: {kind: fixed64},
		7: {kind: child, to: keyValue}, 8: {kind: varint},
	}.array()}
	histogram := &message{item: true, fields: fields{
		2: {kind: fixed64}, 3: {kind: fixed64}, 4: {kind: fixed64}, 5: {kind: fixed64}, 6: {kind: packedFixed64}, 7: {kind: packedFixed64},
		8: {kind: child, to: exemplar}, 9: {kind: child, to: keyValue}, 10: {kind: varint}, 11: {kind: fixed64}, 12: {kind: fixed64},
	}.array()}
	buckets := &message{fields: fields{1: {kind: varint}, 2: {kind: packedVarint}}.array()}
	exponential := &message{item: true, fields: fields{
		1: {kind: child, to: keyValue}, 2: {kind: fixed64}, 3: {kind: fixed64}, 4: {kind: fixed64}, 5: {kind: fixed64}, 6: {kind: varint}, 7: {kind: fixed64},
		8: {kind: child, to: buckets}, 9: {kind: child, to: buckets}, 10: {kind: varint}, 11: {kind: child, to: exemplar},
		12: {kind: fixed64}, 13: {kind: fixed64}, 14: {kind: fixed64},
	}.array()}
	quantile := &message{fields: fields{1: {kind: fixed64}, 2: {kind: fixed64}}.array()}
	summary := &message{item: true, fields: fields{
		2: {kind: fixed64}, 3: {kind: fixed64}, 4: {kind: fixed64}, 5: {kind: fixed64}, 6: {kind: child, to: quantile},
		7: {kind: child, to: keyValue}, 8: {kind: varint},
	}.array()}
	data := func(point *message, more ...int) field { // and its fields that are varints
		all := fields{1: {kind: path, to: point}}
		for _, n := range more {
			all[n] = field{kind: varint}
		}
		return field{kind: path, to: &message{fields: all.array()}}
	}
	return request(&message{oneof: true, fields: fields{
		1: {kind: text}, 2: {kind: text}, 3: {kind: text}, 12: {kind: child, to: keyValue},
		5: data(number), 7: data(number, 2, 3), 9: data(histogram, 2), 10: data(exponential, 2), 11: data(summary),
	}.array()})
}
