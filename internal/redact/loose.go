package redact

import (
	"bytes"

	"github.com/nova/novawire/api/redaction"
)

// keysIn finds the values of keys in a text that begins as JSON and breaks its rules: it
// was cut, something in it is written wrongly, or it is nested too deeply. A value whose end nobody
// can tell reaches to the end of the text. What is dropped elsewhere is masked, because
// there may be no member to remove.
func (r *Redactor) keysIn(text []byte, nested int) (values []span) {
	if len(r.keys) == 0 && r.allKeys == nil {
		return nil
	}
	if nested > maxNested {
		return []span{{0, len(text), r.anyKey()}}
	}
	for at := 0; ; {
		from, stop := nextQuoted(text, at)
		if stop < 0 {
			return values
		}
		content := text[from+1 : stop]
		isEscaped := bytes.IndexByte(content, '\\') >= 0
		if isEscaped {
			if plain, ok := unquote(text[from : stop+1]); ok {
				content = plain
			}
		}
		rule, value := r.ruleBehind(text, stop+1, content)
		switch {
		case rule != nil:
			at = valueEnd(text, value)
		case value > 0:
			at = value
			continue
		case isEscaped && r.hidesKey(content, nested+1):
			rule, value, at = r.anyKey(), from, stop+1
		default:
			at = stop // the end of one may be the beginning of another
			continue
		}
		if len(values) == maxMatches {
			at = len(text)
		}
		values = append(values, inQuotes(text, span{value, at, rule}))
		if at == len(text) {
			return values
		}
	}
}

// nextQuoted returns where the next text in quotes has them, or -1.
func nextQuoted(text []byte, at int) (from, stop int) {
	quote := bytes.IndexByte(text[at:], '"')
	if quote < 0 {
		return -1, -1
	}
	from = at + quote
	for i := from + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return from, i
		}
	}
	return from, -1
}

// ruleBehind returns what redacts the value of a key that ends at a place, and where the
// value begins: 0 if there is no colon.
func (r *Redactor) ruleBehind(text []byte, at int, key []byte) (*valueRule, int) {
	w := jsonWriter{text: text, at: at}
	if w.space(); w.at == len(text) || text[w.at] != ':' {
		return nil, 0
	}
	w.at++
	w.space()
	if k := r.Key(key); k.whole != nil && w.at < len(text) {
		return masking(k.whole), w.at
	}
	return nil, w.at
}

// valueEnd returns where a value ends: at the end of the text if nobody knows.
func valueEnd(text []byte, at int) int {
	w := jsonWriter{text: text, at: at}
	if !w.skip() {
		return len(text)
	}
	return w.at
}

// inQuotes returns the span of what is in the quotes of a value that has them.
func inQuotes(text []byte, s span) span {
	if text[s.from] == '"' && s.to-s.from > 2 {
		if s.from++; text[s.to-1] == '"' {
			s.to--
		}
	}
	return s
}

// hidesKey reports whether a text, such as a string of JSON, has a key whose value is redacted.
func (r *Redactor) hidesKey(text []byte, nested int) bool {
	if !isOpening(text) {
		return false
	}
	before := r.Counts
	defer func() { r.Counts = before }()
	if nested <= maxNested {
		if _, verdict, isJSON := r.json(nil, Key{}, text, nested); isJSON {
			return verdict != Keep
		}
	}
	return len(r.keysIn(text, nested)) > 0
}

// anyKey stands for the rules for keys where it is not clear which one is meant.
func (r *Redactor) anyKey() *valueRule {
	if len(r.keys) > 0 {
		return masking(&r.keys[0].target)
	}
	return masking(r.allKeys)
}

func masking(t *target) *valueRule {
	rule := &valueRule{target: *t}
	if rule.action == redaction.Drop {
		rule.action = redaction.Mask
	}
	return rule
}
