package wire

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// element is a field of a message.
type element struct {
	number protowire.Number
	whole  []byte // with its tag
	value  []byte // of a field that has a length
}

// fieldsOf yields the fields of a message that [Scan] has accepted.
func fieldsOf(message []byte) iter.Seq[element] {
	return func(yield func(element) bool) {
		for len(message) > 0 {
			number, wireType, n := protowire.ConsumeField(message)
			if n < 0 {
				return
			}
			e := element{number: number, whole: message[:n]}
			if wireType == protowire.BytesType {
				_, _, tag := protowire.ConsumeTag(message) // in more bytes than it needs, perhaps
				e.value, _ = protowire.ConsumeBytes(message[tag:])
			}
			if !yield(e) {
				return
			}
			message = message[n:]
		}
	}
}

func appendBytes(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}
