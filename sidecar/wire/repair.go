package wire

import (
	"bytes"

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
	for f := range fieldsOf(content) {
		switch d := m.field(f.number); d.kind {
		case text:
			to = appendBytes(to, f.number, bytes.ToValidUTF8(f.value, replacement))
		case child, path:
			to = appendBytes(to, f.number, repair(nil, d.to, f.value))
		default:
			to = append(to, f.whole...)
		}
	}
	return to
}
