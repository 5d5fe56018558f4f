package record

import (
	"github.com/nova/novawire/internal/redact"
)

// quotedMask is JSON for what was masked as a whole.
var quotedMask = []byte(`"` + redact.Masked + `"`)

// redacted returns a line, or JSON made of a record, without what the rules redact. It is
// valid until the next call with the buffer.
func (d *Decoder) redacted(buffer *[]byte, text []byte) []byte {
	if d.Redact == nil {
		return text
	}
	to, verdict := d.Redact.Value((*buffer)[:0], redact.Key{}, text)
	switch verdict {
	case redact.Changed:
		*buffer = to
		return to
	case redact.Drop: // a line is never left out
		return []byte(redact.Masked)
	case redact.Keep:
	}
	return text
}

// redactedJSON returns JSON beside the line without what the rules redact.
func (d *Decoder) redactedJSON(value []byte) []byte {
	text := d.redacted(&d.cleanJSON, value)
	if d.Redact != nil && string(text) == redact.Masked {
		return quotedMask
	}
	return text
}

// redactedMember redacts a member that a record has beside its line, in JSON. It reports
// false if the member is left out.
func (d *Decoder) redactedMember(key, value []byte) (_, _ []byte, ok bool) {
	if d.Redact == nil {
		return key, value, true
	}
	object := append(append(append([]byte{'{'}, key...), ':'), value...)
	s := scanner{text: d.redactedJSON(append(object, '}')), at: 1}
	if s.text[0] != '{' {
		return key, quotedMask, true
	}
	if s.text[1] != '"' || !s.str() {
		return nil, nil, false
	}
	return s.text[1:s.at], s.text[s.at+1 : len(s.text)-1], true
}
