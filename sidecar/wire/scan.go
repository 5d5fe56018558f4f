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
	for len(content) > 0 {
		number, wireType, n := protowire.ConsumeTag(content)
		if n < 0 {
			return ErrMalformed
		}
		content = content[n:]
		if wireType != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, wireType, content); n < 0 {
				return ErrMalformed
			}
			content = content[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(content)
		if n < 0 {
			return ErrMalformed
		}
		content = content[n:]
		if err := s.value(m.field(number), value, depth); err != nil {
			return err
		}
	}
	return nil
}

func (s *Summary) value(f field, value []byte, depth int) error {
	switch f.kind {
	case text:
		s.Memory += len(value)
		s.InvalidText = s.InvalidText || !utf8.Valid(value)
	case bytes:
		s.Memory += len(value)
	case varints:
		s.Memory += 8 * len(value)
	case child, path:
		return s.scan(f.to, value, depth+1)
	}
	return nil
}
