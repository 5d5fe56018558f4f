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

// Errors of requests that must not be decoded.
var (
	ErrMalformed = errors.New("the request is not a protobuf message")
	ErrTooDeep   = errors.New("the request is nested too deep")
)

// Summary says what a request holds.
type Summary struct {
	Items       int  // spans, data points or log records
	Memory      int  // an estimate of what the decoded request takes, in bytes
	LargestItem int  // in bytes of its wire form
	InvalidText bool // some text is not UTF-8
}

// Scan sums a request up. It takes no memory of the heap.
func Scan(signal ledger.Signal, request []byte) (Summary, error) {
	var s Summary
	err := s.scan(requests[signal], request, 0)
	return s, err
}

func (s *Summary) scan(m *message, content []byte, depth int) error {
	if depth > MaxDepth {
		return ErrTooDeep
	}
	s.Memory += m.memory
	if m.item {
		s.Items++
		s.LargestItem = max(s.LargestItem, len(content))
	}
	for i := 0; i < len(content); {
		number, wireType, n := consumeTag(content[i:])
		if n < 0 {
			return ErrMalformed
		}
		i += n
		if wireType != protowire.BytesType {
			if n = skipValue(number, wireType, content[i:]); n < 0 {
				return ErrMalformed
			}
			i += n
			continue
		}
		length, n := consumeLength(content[i:])
		if n < 0 || length > uint64(len(content)-i-n) {
			return ErrMalformed
		}
		i += n
		end := i + int(length) //nolint:gosec // within the content
		value := content[i:end]
		i = end
		switch f := m.field(number); f.kind {
		case text:
			s.Memory += len(value)
			s.InvalidText = s.InvalidText || !utf8.Valid(value)
		case binary:
			s.Memory += len(value)
		case varints:
			s.Memory += 8 * len(value)
		case child, path:
			if err := s.scan(f.to, value, depth+1); err != nil {
				return err
			}
		case other: // it costs nothing that is not in the message
		}
	}
	return nil
}

// The following do what protowire does, faster for the tags and lengths of one byte and
// the fixed values that OTLP is made of: every request is scanned.

func consumeTag(content []byte) (number protowire.Number, wireType protowire.Type, n int) {
	if b := content[0]; b < 0x80 && b >= 1<<3 {
		return protowire.Number(b >> 3), protowire.Type(b & 7), 1
	}
	return protowire.ConsumeTag(content)
}

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
