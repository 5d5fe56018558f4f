package receiver

import (
	"fmt"

	"github.com/nova/novawire/sidecar/wire"
)

// JSON that is to be decoded takes memory by its objects and its numbers. An object
// in one of these lists is a span, a data point, a log record or what holds them; all
// other objects are attributes and values.
var bigLists = map[string]bool{
	"resourceSpans": true, "resourceMetrics": true, "resourceLogs": true,
	"scopeSpans": true, "scopeMetrics": true, "scopeLogs": true,
	"spans": true, "metrics": true, "logRecords": true, "dataPoints": true,
	"events": true, "links": true, "exemplars": true, "quantileValues": true,
}

const (
	bigObject   = 360
	smallObject = 80
	element     = 24 // of a list: a number or a text
	// maxJSONDepth is protobuf's depth in JSON, where each message is an object, and
	// often one in a list.
	maxJSONDepth = 3 * wire.MaxDepth
)

// checkJSON refuses text that takes more memory, or is nested deeper, than it may.
// It estimates; whether the text is JSON is for the decoder to say.
func checkJSON(body []byte, memory int) error {
	var (
		estimate  = 2 * len(body)        // its text, decoded and then in protobuf
		big       [maxJSONDepth + 2]bool // by depth: a list of large objects
		depth     int
		last      []byte // the last text, which is the key of what opens next
		nextIsBig bool
	)
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			begin := i + 1
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
			last = body[begin:min(i, len(body))]
		case ':':
			nextIsBig = bigLists[string(last)]
		case ',':
			estimate += element
		case '{', '[':
			if body[i] == '{' && big[depth] {
				estimate += bigObject
			} else {
				estimate += smallObject
			}
			if depth++; depth > maxJSONDepth {
				return fmt.Errorf("%w: %w", errMalformed, wire.ErrTooDeep)
			}
			big[depth] = body[i] == '[' && nextIsBig
			nextIsBig = false
		case '}', ']':
			depth = max(0, depth-1)
		}
	}
	if estimate > memory {
		return fmt.Errorf("%w: decoded it would take %d bytes of memory; send protobuf or smaller requests", errTooBig, estimate)
	}
	return nil
}
