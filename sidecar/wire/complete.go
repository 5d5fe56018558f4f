package wire

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Attribute is an attribute of resources, with a text for its value.
type Attribute struct{ Key, Value string }

// Attributes are those that each resource is to have. The zero value has no attribute.
type Attributes struct {
	keys   []string
	fields [][]byte // of a resource, by key
	bytes  int      // of all fields
}

// NewAttributes returns the attributes.
func NewAttributes(list []Attribute) *Attributes {
	a := new(Attributes)
	for _, attribute := range list {
		value := appendText(nil, 1, attribute.Value)
		pair := appendBytes(appendText(nil, 1, attribute.Key), 2, value)
		field := appendBytes(nil, 1, pair)
		a.keys, a.fields = append(a.keys, attribute.Key), append(a.fields, field)
		a.bytes += len(field)
	}
	return a
}

func appendText(to []byte, number protowire.Number, s string) []byte {
	return appendBytes(to, number, []byte(s))
}

// lengths is the most that a completed resource takes beside its attributes: its tag, and
// that its length and that of what holds it take more bytes.
const lengths = 10

// Growth is by how many bytes a resource grows at most.
func (a *Attributes) Growth() int { return a.bytes + lengths }

// Complete appends to a buffer a copy of the request in which each resource has the
// attributes that it lacked. It replaces nothing but the SDKs' placeholder for a service without a name.
// Scopes in their old place are put in the one of today, where backends look for them.
// [Scan] must have accepted the request.
func (a *Attributes) Complete(to, request []byte) []byte {
	c := completion{Attributes: a, missing: make([]bool, len(a.keys)), to: slices.Grow(to, len(request)+a.Growth())}
	for f := range fieldsOf(request) {
		if f.number == 1 {
			c.complete(f.value)
		} else {
			c.to = append(c.to, f.whole...)
		}
	}
	return c.to
}

type completion struct {
	*Attributes
	to       []byte
	resource []byte // of the resource at hand: its fields
	missing  []bool // by key
}

// complete appends what holds a resource and its scopes.
func (c *completion) complete(content []byte) {
	for i := range c.missing {
		c.missing[i] = true
	}
	c.resource = c.resource[:0]
	rest := 0
	for f := range fieldsOf(content) {
		switch f.number {
		case 1: // a second one is merged with the first, as protobuf says
			c.keep(f.value)
		case oldScopes:
			rest += protowire.SizeTag(scopes) + protowire.SizeBytes(len(f.value))
		default:
			rest += len(f.whole)
		}
	}
	for i, missing := range c.missing {
		if missing {
			c.resource = append(c.resource, c.fields[i]...)
		}
	}
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(c.resource)) + rest
	c.to = protowire.AppendVarint(protowire.AppendTag(c.to, 1, protowire.BytesType), uint64(size)) //nolint:gosec // a length
	c.to = appendBytes(c.to, 1, c.resource)
	for f := range fieldsOf(content) {
		switch f.number {
		case 1:
		case oldScopes:
			c.to = appendBytes(c.to, scopes, f.value)
		default:
			c.to = append(c.to, f.whole...)
		}
	}
}

// keep keeps the fields of a resource, but a placeholder of a key that is ours.
func (c *completion) keep(resource []byte) {
	for f := range fieldsOf(resource) {
		if f.number == 1 {
			key, text := pair(f.value)
			if i := c.index(key); i >= 0 {
				if isPlaceholder(key, text) {
					continue
				}
				c.missing[i] = false
			}
		}
		c.resource = append(c.resource, f.whole...)
	}
}

// index returns the place of the key, or a negative number for a key that is not in the list.
func (c *completion) index(key []byte) int {
	for i := range c.keys {
		if c.keys[i] == string(key) {
			return i
		}
	}
	return -1
}

// isPlaceholder reports whether the value is the name that SDKs give a service without
// one (OpenTelemetry semantic conventions, "Service").
func isPlaceholder(key, text []byte) bool {
	return string(key) == "service.name" && bytes.HasPrefix(text, []byte("unknown_service"))
}

// pair returns the key of an attribute, and its value if that is a text.
func pair(keyValue []byte) (key, text []byte) {
	for f := range fieldsOf(keyValue) {
		if f.number == 1 {
			key = f.value
			continue
		}
		if f.number == 2 {
			text = mergeText(text, f.value)
		}
	}
	return key, text
}

// mergeText returns the text of an AnyValue that is merged with an earlier one, which has
// the text: of several values the last counts. What is no value changes nothing.
func mergeText(text, later []byte) []byte {
	for f := range fieldsOf(later) {
		if f.number == 1 {
			text = f.value
		} else if anyValue.field(f.number).kind != unknown {
			text = nil
		}
	}
	return text
}
