package exporter

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/internal/validate"
)

// acknowledged reads how much of a request the backend has taken. The responses of
// all signals have the same form: a partial success (1), which holds the number of
// rejected items (1) and a message (2). A response that breaks off, as a long one
// does that is not read whole, counts as far as it goes.
func acknowledged(response []byte) result {
	number, wireType, n := protowire.ConsumeTag(response)
	if n < 0 || number != 1 || wireType != protowire.BytesType {
		return result{}
	}
	length, m := protowire.ConsumeVarint(response[n:])
	if m < 0 {
		return result{}
	}
	content := response[n+m:]
	content = content[:min(uint64(len(content)), length)]
	var (
		rejected uint64
		message  string
	)
	for len(content) > 0 {
		number, wireType, n := protowire.ConsumeTag(content)
		if n < 0 {
			break
		}
		content = content[n:]
		switch {
		case number == 1 && wireType == protowire.VarintType:
			rejected, n = protowire.ConsumeVarint(content)
		case number == 2 && wireType == protowire.BytesType:
			length, m := protowire.ConsumeVarint(content)
			if m >= 0 {
				message = string(content[m : uint64(m)+min(length, uint64(len(content)-m))])
			}
			n = protowire.ConsumeFieldValue(number, wireType, content)
		default:
			n = protowire.ConsumeFieldValue(number, wireType, content)
		}
		if n < 0 {
			break
		}
		content = content[n:]
	}
	switch {
	case message == "" && int64(rejected) <= 0: //nolint:gosec // a negative count
		return result{}
	case int64(rejected) <= 0: //nolint:gosec // OTLP: a warning, everything was accepted
		return result{err: errors.New(clip(message))}
	}
	return result{rejected: int(min(rejected, 1<<31)), err: errors.New(clip(message))}
}

// clip bounds a text of the backend for the log.
func clip(s string) string { return validate.Truncate(strings.ToValidUTF8(s, "\uFFFD"), 1024) }
