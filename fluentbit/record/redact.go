package record

import (
	"bytes"
	"encoding/json"
	"time"

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

// redactedJSON returns a value of JSON beside the line without what the rules redact. It is
// redacted as the element of a list, so that a text or a number stays JSON, too.
func (d *Decoder) redactedJSON(value []byte) []byte {
	if d.Redact == nil {
		return value
	}
	list := append(append([]byte{'['}, value...), ']')
	text := d.redacted(&d.cleanJSON, list)
	if &text[0] == &list[0] { // as in most records
		return value
	}
	if string(text) == redact.Masked || !json.Valid(text) || text[0] != '[' {
		return quotedMask
	}
	return text[1 : len(text)-1]
}

// isTime reports whether a text is a time as the runtime writes it (RFC 3339, at most
// nanoseconds), which holds nothing to redact.
func isTime(text []byte) bool {
	_, fraction, _ := bytes.Cut(text, []byte{'.'})
	digits := len(fraction) - len(bytes.TrimLeft(fraction, "0123456789"))
	return digits <= 9 && new(time.Time).UnmarshalText(text) == nil
}

// redactedMember redacts a member that a record has beside its line, in JSON. It reports
// false if the member is left out.
func (d *Decoder) redactedMember(key, value []byte) (_, _ []byte, ok bool) {
	if d.Redact == nil {
		return key, value, true
	}
	object := append(append(append([]byte{'{'}, key...), ':'), value...)
	s := scanner{text: d.redacted(&d.cleanJSON, append(object, '}')), at: 1}
	if s.text[0] != '{' {
		return key, quotedMask, true
	}
	if s.text[1] != '"' || !s.str() {
		return nil, nil, false
	}
	return s.text[1:s.at], s.text[s.at+1 : len(s.text)-1], true
}
