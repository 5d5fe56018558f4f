package wire

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

// replacement stands where text was not UTF-8.
var replacement = []byte("\uFFFD")

// Repair returns the request with U+FFFD in the place of bytes that are not
// UTF-8, which strict decoders refuse a whole request for. [Scan] must have
// accepted the request.
func Repair(signal ledger.Signal, request []byte) []byte {
	return repair(nil, requests[signal], request)
}

func repair(to []byte, m *message, content []byte) []byte {
	for len(content) > 0 {
		number, wireType, n := protowire.ConsumeField(content)
		if n < 0 {
			return append(to, content...)
		}
		whole := content[:n]
		content = content[n:]
		f := m.field(number)
		if wireType != protowire.BytesType || f.kind != text && f.kind != child && f.kind != path {
			to = append(to, whole...)
			continue
		}
		_, _, tag := protowire.ConsumeTag(whole)
		value, _ := protowire.ConsumeBytes(whole[tag:])
		if f.kind == text {
			value = bytes.ToValidUTF8(value, replacement)
		} else {
			value = repair(nil, f.to, value)
		}
		to = protowire.AppendBytes(protowire.AppendTag(to, number, wireType), value)
	}
	return to
}
