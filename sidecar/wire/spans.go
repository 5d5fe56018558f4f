package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Span is the part of a span that says what kind of request it was, how long it took and
// how it ended. Its slices are parts of the request.
type Span struct {
	TraceID, SpanID, TraceState []byte
	Kind                        int32  // SpanKind of opentelemetry-proto
	Start, End                  uint64 // ns since 1970
	Failed                      bool   // its status code is STATUS_CODE_ERROR
	Attributes                  []Value
	Resource                    []Value
	ResourceIndex               int // in the request
}

// Value is the value of an attribute. Text and Number are valid for their kinds alone.
type Value struct {
	Kind   ValueKind
	Text   []byte
	Number int64
}

// ValueKind is what a value is.
type ValueKind uint8

// The kinds of values.
const (
	Missing ValueKind = iota
	Text
	Integer
	Other // a boolean, a floating-point number, bytes, a list, pairs or nothing
)

// Place returns where in [Span.Attributes] or [Span.Resource] the value of a key goes, and
// a negative number for a key that is not wanted.
type Place func(key []byte) int

// SpanReader reads the spans of requests. It takes no memory of the heap while it reads.
type SpanReader struct {
	attribute, resource Place
	span                Span
}

// NewSpanReader returns a reader of so many attributes of spans and of resources.
func NewSpanReader(attributes int, attribute Place, resources int, resource Place) *SpanReader {
	return &SpanReader{attribute, resource, Span{Attributes: make([]Value, attributes), Resource: make([]Value, resources)}}
}

// Read calls visit for each span of a request that [Scan] has accepted. The span is valid
// until visit returns. Of several attributes with one key the first counts.
func (r *SpanReader) Read(request []byte, visit func(*Span)) {
	index := 0
	for f := range fieldsOf(request) {
		if f.number == 1 {
			r.readResource(f.value)
			r.span.ResourceIndex = index
			r.readScopes(f.value, visit)
			index++
		}
	}
	clear(r.span.Attributes) // the request may be freed
	clear(r.span.Resource)
	r.span = Span{Attributes: r.span.Attributes, Resource: r.span.Resource}
}

// ReadResources calls visit for each resource of a request that [Scan] has accepted, with
// so many of its attributes. They are valid until visit returns.
func ReadResources(request []byte, attributes int, place Place, visit func(index int, values []Value)) {
	values, index := make([]Value, attributes), 0
	for f := range fieldsOf(request) {
		if f.number == 1 {
			readResource(values, place, f.value)
			visit(index, values)
			index++
		}
	}
}

func (r *SpanReader) readResource(content []byte) { readResource(r.span.Resource, r.resource, content) }

// readResource reads the attributes of a resource, which may be behind its spans.
func readResource(values []Value, place Place, content []byte) {
	clear(values)
	for f := range fieldsOf(content) {
		if f.number != 1 {
			continue
		}
		for attribute := range fieldsOf(f.value) {
			if attribute.number == 1 {
				assignPair(values, place, attribute.value)
			}
		}
	}
}

func (r *SpanReader) readScopes(content []byte, visit func(*Span)) {
	for f := range fieldsOf(content) {
		if f.number != scopes && f.number != oldScopes {
			continue
		}
		for span := range fieldsOf(f.value) {
			if span.number == 2 {
				r.readSpan(span.value)
				visit(&r.span)
			}
		}
	}
}

// readSpan reads the fields of a span with the faster functions of [Scan]: most of a
// request is here.
func (r *SpanReader) readSpan(content []byte) {
	s := &r.span
	attributes := s.Attributes
	*s = Span{Attributes: attributes, Resource: s.Resource, ResourceIndex: s.ResourceIndex}
	for i := range attributes {
		attributes[i].Kind = Missing // cheaper than to clear them
	}
	for len(content) > 0 {
		number, wireType, n := consumeTag(content)
		if n < 0 {
			return
		}
		content = content[n:]
		if wireType != protowire.BytesType {
			if n = skipValue(number, wireType, content); n < 0 {
				return
			}
			switch int(number) {
			case 6:
				s.Kind = int32(varintOf(content)) //nolint:gosec // an enumeration has 32 bits
			case 7:
				s.Start = fixed64Of(content)
			case 8:
				s.End = fixed64Of(content)
			}
			content = content[n:]
			continue
		}
		length, n := consumeLength(content)
		if n < 0 || length > uint64(len(content)-n) {
			return
		}
		end := n + int(length) //nolint:gosec // within the content
		value := content[n:end]
		content = content[end:]
		switch int(number) {
		case 1:
			s.TraceID = value
		case 2:
			s.SpanID = value
		case 3:
			s.TraceState = value
		case 9:
			assignPair(attributes, r.attribute, value)
		case 15:
			s.readStatus(value)
		}
	}
}

// statusError is STATUS_CODE_ERROR.
const statusError = 2

func (s *Span) readStatus(status []byte) {
	for f := range fieldsOf(status) {
		if f.number == 3 {
			_, _, n := protowire.ConsumeTag(f.whole)
			s.Failed = int32(varintOf(f.whole[n:])) == statusError //nolint:gosec // as above
		}
	}
}

// assignPair stores the value of an attribute in its place, unless there is one already.
func assignPair(values []Value, place Place, pair []byte) {
	key, content, ok := usualPair(pair)
	if !ok {
		key = lastField(pair, 1)
	}
	i := place(key)
	if i < 0 || values[i].Kind != Missing {
		return
	}
	if v, usual := usualValue(content); ok && usual {
		values[i] = v
		return
	}
	v := Value{Kind: Other}
	for f := range fieldsOf(pair) {
		if f.number == 2 {
			v = mergeValue(v, f.value)
		}
	}
	values[i] = v
}

const (
	field1Bytes  = 1<<3 | byte(protowire.BytesType)
	field2Bytes  = 2<<3 | byte(protowire.BytesType)
	field3Varint = 3<<3 | byte(protowire.VarintType)
)

// usualPair returns the key and the value of an attribute in the form that nearly all have:
// one of each, both short. SDKs write the key first, collectors in Go the value.
func usualPair(pair []byte) (key, value []byte, ok bool) {
	if len(pair) < 4 || pair[1] >= 0x80 || len(pair) < int(pair[1])+4 {
		return nil, nil, false
	}
	end := 2 + int(pair[1])
	first, rest := pair[2:end], pair[end:]
	if rest[1] >= 0x80 || len(rest) != 2+int(rest[1]) {
		return nil, nil, false
	}
	switch {
	case pair[0] == field1Bytes && rest[0] == field2Bytes:
		return first, rest[2:], true
	case pair[0] == field2Bytes && rest[0] == field1Bytes:
		return rest[2:], first, true
	}
	return nil, nil, false
}

// usualValue reads a value that is one short text or one integer.
func usualValue(content []byte) (Value, bool) {
	switch {
	case len(content) < 2:
	case content[0] == field1Bytes && content[1] < 0x80 && len(content) == 2+int(content[1]):
		return Value{Kind: Text, Text: content[2:]}, true
	case content[0] == field3Varint:
		if n, size := protowire.ConsumeVarint(content[1:]); size == len(content)-1 {
			return Value{Kind: Integer, Number: int64(n)}, true //nolint:gosec // two's complement
		}
	}
	return Value{}, false
}

// mergeValue returns a value merged with a later AnyValue, as protobuf merges what is there
// twice: of several values the last counts.
func mergeValue(v Value, content []byte) Value {
	for f := range fieldsOf(content) {
		switch {
		case f.number == 1:
			v = Value{Kind: Text, Text: f.value}
		case f.number == 3:
			_, _, n := protowire.ConsumeTag(f.whole)
			v = Value{Kind: Integer, Number: varintOf(f.whole[n:])}
		case anyValue.field(f.number).kind != unknown:
			v = Value{Kind: Other}
		}
	}
	return v
}

func fixed64Of(content []byte) uint64 {
	n, _ := protowire.ConsumeFixed64(content)
	return n
}

func varintOf(content []byte) int64 {
	n, _ := protowire.ConsumeVarint(content)
	return int64(n) //nolint:gosec // two's complement, as protobuf has it
}
