// Package wire reads OTLP requests in protobuf's wire form, without decoding
// them: it counts their items, estimates the memory that decoding them takes,
// cuts them into smaller requests and repairs text that is not UTF-8. Messages
// and field numbers are those of opentelemetry-proto 1.x. It decides nothing.
package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

// message describes one message type of OTLP, as far as this package looks.
type message struct {
	memory int  // bytes that one decoded message takes, beside its text and bytes
	item   bool // a span, a data point or a log record
	fields [maxField + 1]field
}

// field describes a field of length-delimited wire type; all others are fixed or
// small and are part of their message's memory.
type field struct {
	kind kind
	to   *message // of kind child and path
}

type kind uint8

const (
	other   kind = iota // passed over
	text                // must be UTF-8
	binary              // copied when decoded
	varints             // a packed list of variable length, eight bytes each when decoded
	child               // a message
	path                // a message on the way to the items
)

const (
	maxField = 16
	// oldScopes is where senders before OTLP 0.15 put their scopes; they have the
	// place of the field 2 of today.
	oldScopes = 1000
)

// field returns the description of a field by its number.
func (m *message) field(number protowire.Number) *field {
	if number <= maxField {
		return &m.fields[number]
	}
	if number == oldScopes && m.fields[2].kind == path {
		return &m.fields[2]
	}
	return &unknown
}

var unknown field

// requests are the export requests, by signal.
var requests = [...]*message{ledger.Traces: traces(), ledger.Metrics: metrics(), ledger.Logs: logs()}

// The sizes are those of the collector's pdata, with what a growing list wastes.
var (
	anyValue  = &message{memory: 48}
	keyValue  = &message{memory: 96, fields: fields{1: {kind: text}, 2: {kind: child, to: anyValue}}.array()}
	entityRef = &message{memory: 160, fields: fields{1: {kind: text}, 2: {kind: text}, 3: {kind: text}, 4: {kind: text}}.array()}
	resource  = &message{memory: 64, fields: fields{1: {kind: child, to: keyValue}, 3: {kind: child, to: entityRef}}.array()}
	scope     = &message{memory: 64, fields: fields{1: {kind: text}, 2: {kind: text}, 3: {kind: child, to: keyValue}}.array()}
	exemplar  = &message{memory: 240, fields: fields{7: {kind: child, to: keyValue}}.array()}
)

func init() { // an AnyValue holds others
	list := &message{memory: 48, fields: fields{1: {kind: child, to: anyValue}}.array()}
	pairs := &message{memory: 48, fields: fields{1: {kind: child, to: keyValue}}.array()}
	anyValue.fields = fields{1: {kind: text}, 5: {kind: child, to: list}, 6: {kind: child, to: pairs}, 7: {kind: binary}}.array()
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
	scopes := &message{memory: 200, fields: fields{1: {kind: child, to: scope}, 2: {kind: path, to: element}, 3: {kind: text}}.array()}
	resources := &message{memory: 240, fields: fields{1: {kind: child, to: resource}, 2: {kind: path, to: scopes}, 3: {kind: text}}.array()}
	return &message{fields: fields{1: {kind: path, to: resources}}.array()}
}

func traces() *message {
	event := &message{memory: 112, fields: fields{2: {kind: text}, 3: {kind: child, to: keyValue}}.array()}
	link := &message{memory: 128, fields: fields{3: {kind: text}, 4: {kind: child, to: keyValue}}.array()}
	status := &message{fields: fields{2: {kind: text}}.array()}
	return request(&message{memory: 336, item: true, fields: fields{
		3: {kind: text}, 5: {kind: text}, 9: {kind: child, to: keyValue},
		11: {kind: child, to: event}, 13: {kind: child, to: link}, 15: {kind: child, to: status},
	}.array()})
}

func logs() *message {
	return request(&message{memory: 256, item: true, fields: fields{
		3: {kind: text}, 5: {kind: child, to: anyValue}, 6: {kind: child, to: keyValue}, 12: {kind: text},
	}.array()})
}

func metrics() *message {
	number := &message{memory: 208, item: true, fields: fields{5: {kind: child, to: exemplar}, 7: {kind: child, to: keyValue}}.array()}
	histogram := &message{memory: 256, item: true, fields: fields{
		6: {kind: binary}, 7: {kind: binary}, 8: {kind: child, to: exemplar}, 9: {kind: child, to: keyValue},
	}.array()}
	buckets := &message{memory: 48, fields: fields{2: {kind: varints}}.array()}
	exponential := &message{memory: 320, item: true, fields: fields{
		1: {kind: child, to: keyValue}, 8: {kind: child, to: buckets}, 9: {kind: child, to: buckets}, 11: {kind: child, to: exemplar},
	}.array()}
	quantile := &message{memory: 40}
	summary := &message{memory: 192, item: true, fields: fields{6: {kind: child, to: quantile}, 7: {kind: child, to: keyValue}}.array()}
	data := func(point *message) field {
		return field{kind: path, to: &message{memory: 48, fields: fields{1: {kind: path, to: point}}.array()}}
	}
	return request(&message{memory: 160, fields: fields{
		1: {kind: text}, 2: {kind: text}, 3: {kind: text}, 12: {kind: child, to: keyValue},
		5: data(number), 7: data(number), 9: data(histogram), 10: data(exponential), 11: data(summary),
	}.array()})
}
