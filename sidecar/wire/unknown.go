package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/internal/redact"
)

// isUnfit reports whether a field of a later version of OTLP is left out, and counts why: a
// rule cannot be read, matches in it, or names a key that may be in it.
func (r *Redactor) isUnfit(content []byte) bool {
	if r.rules.Contains(content) {
		return true
	}
	key, found := r.keyWithin(content, 0)
	if found {
		r.rules.CountDrop(key)
	}
	return found
}

// maxKeyWithin bounds the keys that are looked for in a field of unknown form.
const maxKeyWithin = 256

// keyWithin returns what the rules say about a key in content of unknown form: any content
// may be a key itself, or a message that holds one. Tags and lengths of messages within each
// other are different bytes, so there are fewer contents than bytes.
func (r *Redactor) keyWithin(content []byte, depth int) (redact.Key, bool) {
	if len(content) <= maxKeyWithin {
		key := r.rules.Key(content)
		if whole, _ := key.Whole(); whole {
			return key, true
		}
	}
	for depth < MaxDepth && len(content) > 0 {
		_, wireType, tag := protowire.ConsumeTag(content)
		if tag < 0 {
			break
		}
		_, _, size := protowire.ConsumeField(content)
		if size < 0 {
			break
		}
		if wireType == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(content[tag:])
			if key, found := r.keyWithin(value, depth+1); found {
				return key, true
			}
		}
		content = content[size:]
	}
	return redact.Key{}, false
}
