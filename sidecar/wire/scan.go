package wire

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

// MaxDepth is how deep messages may be nested, as protobuf's own libraries have
// it for most languages.
const MaxDepth = 100

// Errors of requests that are not OTLP.
var (
	ErrMalformed = errors.New("the request is not an OTLP message in protobuf")
	ErrTooDeep   = errors.New("the request is nested too deep")
)

// Summary says what a request holds.
type Summary struct {
	Items       int  // spans, data points or log records
	Resources   int  // with or without items
	LargestItem int  // in bytes of its wire form
	InvalidText bool // some text is not UTF-8
}

// Scan sums a request up. It refuses what a backend could not decode: the sidecar itself
// never decodes it. It takes no memory of the heap.
func Scan(signal ledger.Signal, request []byte) (Summary, error) {
	var s Summary
	err := s.scan(requests[signal], request, 0)
	return s, err
}

func (s *Summary) scan(m *message, content []byte, depth int) error {
	if depth > MaxDepth {
		return ErrTooDeep
	}
	s.enter(m, content)
	for chosen := false; len(content) > 0; {
		number, wireType, n := consumeTag(content)
		if n < 0 {
			return ErrMalformed
		}
		content = content[n:]
		f := m.field(number)
		if allowed[f.kind]&(1<<wireType) == 0 {
			return ErrMalformed
		}
		if wireType != protowire.BytesType {
			if n = skipValue(number, wireType, content); n < 0 {
				return ErrMalformed
			}
			content = content[n:]
			continue
		}
		length, n := consumeLength(content)
		if n < 0 || length > uint64(len(content)-n) {
			return ErrMalformed
		}
		end := n + int(length) //nolint:gosec // within the content
		value := content[n:end]
		content = content[end:]
		if f.to == nil {
			if !s.look(f.kind, value) {
				return ErrMalformed
			}
			continue
		}
		if m.oneof && f.kind == path {
			if chosen {
				return ErrMalformed
			}
			chosen = true
		}
		if err := s.scan(f.to, value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (s *Summary) enter(m *message, content []byte) {
	if m.item {
		s.Items++
		s.LargestItem = max(s.LargestItem, len(content))
	} else if m.resource {
		s.Resources++
	}
}

// look reports whether the value of a field that is no message may be decoded.
func (s *Summary) look(k kind, value []byte) bool {
	switch k {
	case text:
		s.InvalidText = s.InvalidText || !utf8.Valid(value)
	case traceID:
		return len(value) == 16 || len(value) == 0
	case spanID:
		return len(value) == 8 || len(value) == 0
	case packedFixed64:
		return len(value)%8 == 0
	case packedVarint:
		return areVarints(value)
	case unknown, varint, fixed32, fixed64, binary, child, path: // any bytes
	}
	return true
}

func areVarints(list []byte) bool {
	for len(list) > 0 {
		_, n := consumeLength(list)
		if n < 0 {
			return false
		}
		list = list[n:]
	}
	return true
}

// The following do what protowire does, faster for the tags and lengths of one byte and
// the fixed values that OTLP is made of: every request is scanned.

func consumeTag(content []byte) (number protowire.Number, wireType protowire.Type, n int) {
	if b := content[0]; b < 0x80 && b >= 1<<3 {
		return protowire.Number(b >> 3), protowire.Type(b & 7), 1
	}
	if number, wireType, n = protowire.ConsumeTag(content); number > protowire.MaxValidNumber || n > maxTag {
		return 0, 0, -1
	}
	return number, wireType, n
}

// maxTag is how many bytes a tag may have: it is a number of 32 bits. Not all libraries
// read a longer one, and those that are strict refuse the whole batch.
const maxTag = 5

func consumeLength(content []byte) (length uint64, n int) {
	if len(content) > 0 && content[0] < 0x80 {
		return uint64(content[0]), 1
	}
	return protowire.ConsumeVarint(content)
}

func skipValue(number protowire.Number, wireType protowire.Type, content []byte) (n int) {
	switch {
	case wireType == protowire.Fixed64Type && len(content) >= 8:
		return 8
	case wireType == protowire.VarintType && len(content) > 0 && content[0] < 0x80:
		return 1
	}
	return protowire.ConsumeFieldValue(number, wireType, content)
}
