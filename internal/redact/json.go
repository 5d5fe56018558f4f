package redact

import (
	"encoding/json"
)

const (
	// maxDepth is how deep JSON may be nested (as in fluentbit/record); a deeper text is
	// redacted as text.
	maxDepth = 128
	// maxNested is how many times JSON may stand in a string of JSON; what is nested
	// deeper is redacted as text.
	maxNested = 4
)

// json redacts a text that is JSON (RFC 8259): the values of keys, and each string. It
// reports false, and appends nothing, if the text is not JSON.
func (r *Redactor) json(to, text []byte, nested int) ([]byte, Verdict, bool) {
	if nested > maxNested {
		return to, Keep, false
	}
	before := r.Counts
	w := jsonWriter{Redactor: r, text: text, to: to, nested: nested}
	w.space()
	verdict, ok := w.value(Key{}, 0)
	w.space()
	if !ok || w.at != len(text) {
		r.Counts = before
		return to, Keep, false
	}
	if !w.changed {
		return to, verdict, true
	}
	return append(w.to, text[w.copied:]...), Changed, true
}

// jsonWriter copies a text but for what is redacted.
type jsonWriter struct {
	*Redactor
	text    []byte
	to      []byte
	at      int // what is read
	copied  int // what was copied or left out
	changed bool
	nested  int
}

// leaveOut copies what stands before from, and leaves out what stands from there to the
// end of what was read.
func (w *jsonWriter) leaveOut(from int) {
	if from > w.copied {
		w.to = append(w.to, w.text[w.copied:from]...)
	}
	w.copied, w.changed = w.at, true
}

func (w *jsonWriter) space() {
	for w.at < len(w.text) {
		switch w.text[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return
		}
	}
}

// value redacts a value; k is what the rules say about its key. After Drop, of which only
// strings are in need, the value is still to be removed.
func (w *jsonWriter) value(k Key, depth int) (v Verdict, ok bool) {
	if w.at == len(w.text) || depth > maxDepth {
		return Keep, false
	}
	from := w.at
	switch w.text[w.at] {
	case '{', '[':
		return Keep, w.list(depth)
	case '"':
		content, ok := w.str()
		if !ok {
			return Keep, false
		}
		return w.redactString(from, k, content), true
	}
	if !w.scalar() {
		return Keep, false
	}
	if w.Number(w.text[from:w.at]) {
		w.leaveOut(from)
		w.to = appendQuoted(w.to, []byte(Masked))
	}
	return Keep, true
}

// redactString writes the redacted text of the string that was read, unless it stays.
func (w *jsonWriter) redactString(from int, k Key, content []byte) Verdict {
	redacted, verdict, isJSON := []byte(nil), Keep, false
	if w.allTexts == nil && isOpening(content) {
		redacted, verdict, isJSON = w.json(nil, content, w.nested+1)
	}
	if !isJSON {
		redacted, verdict = w.wholeOrPart(nil, k, content)
	}
	if verdict == Changed {
		w.leaveOut(from)
		w.to = appendQuoted(w.to, redacted)
	}
	return verdict
}

// list redacts an object or an array.
func (w *jsonWriter) list(depth int) bool {
	end := w.text[w.at] + 2 // in ASCII
	w.at++
	w.space()
	if w.at < len(w.text) && w.text[w.at] == end {
		w.at++
		return true
	}
	for comma, kept := -1, false; ; w.space() {
		dropped, ok := w.element(end == '}', comma, kept, depth)
		if !ok {
			return false
		}
		kept = kept || !dropped
		w.space()
		if w.at == len(w.text) {
			return false
		}
		c := w.text[w.at]
		comma = w.at
		w.at++
		if c == end {
			return true
		} else if c != ',' {
			return false
		}
		if !kept {
			w.leaveOut(comma) // no member is before it
		}
	}
}

// element redacts an element of an array, or a member of an object. kept says that one
// before it was kept, behind which comma stands.
func (w *jsonWriter) element(keyed bool, comma int, kept bool, depth int) (dropped, ok bool) {
	from, written, copied := w.at, len(w.to), w.copied
	if !keyed {
		verdict, ok := w.value(Key{}, depth+1)
		if verdict == Drop {
			w.leaveOut(from)
			w.to = appendQuoted(w.to, []byte(Masked))
		}
		return false, ok
	}
	k, ok := w.key()
	if !ok {
		return false, false
	}
	start := w.at
	verdict := Keep
	if whole, drop := k.Whole(); !whole {
		verdict, ok = w.value(k, depth+1)
	} else if ok = w.skip(); ok {
		if verdict = Drop; drop {
			w.CountDrop(k)
		} else {
			verdict = Keep
			w.leaveOut(start)
			w.to = appendQuoted(w.to, w.AppendWhole(nil, k, plain(w.text[start:w.at])))
		}
	}
	if verdict != Drop || !ok {
		return false, ok
	}
	if kept {
		from = comma
	}
	w.to, w.copied = w.to[:written], copied
	w.leaveOut(from)
	return true, true
}

// key reads a key and its colon, and redacts the key itself.
func (w *jsonWriter) key() (k Key, ok bool) {
	from := w.at
	if w.at == len(w.text) || w.text[w.at] != '"' {
		return k, false
	}
	key, ok := w.str()
	if !ok {
		return k, false
	}
	if redacted, verdict := w.KeyName(nil, key); verdict == Changed {
		w.leaveOut(from)
		w.to = appendQuoted(w.to, redacted)
	}
	w.space()
	if w.at == len(w.text) || w.text[w.at] != ':' {
		return k, false
	}
	w.at++
	w.space()
	return w.Key(key), true
}

// skip reads a value that goes as a whole. Of a list it looks at strings and brackets
// alone.
func (w *jsonWriter) skip() bool {
	for depth := 0; w.at < len(w.text); {
		switch w.text[w.at] {
		case '"':
			if _, ok := w.str(); !ok {
				return false
			}
		case '{', '[':
			depth++
			w.at++
		case '}', ']':
			depth--
			w.at++
		default:
			if depth > 0 {
				w.at++
			} else if !w.scalar() {
				return false
			}
		}
		if depth <= 0 {
			return depth == 0
		}
	}
	return false
}

// str reads a string and returns its text, which is valid until the next call.
func (w *jsonWriter) str() (content []byte, ok bool) {
	from := w.at
	escaped := false
	for i := w.at + 1; i < len(w.text); i++ {
		switch c := w.text[i]; {
		case c == '"':
			w.at = i + 1
			if content = w.text[from+1 : i]; !escaped {
				return content, true
			}
			return unquote(w.text[from:w.at])
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// scalar reads true, false, null or a number.
func (w *jsonWriter) scalar() bool {
	from, digits := w.at, true
	for w.at < len(w.text) && !endsScalar[w.text[w.at]] {
		digits = digits && isDigit(w.text[w.at])
		w.at++
	}
	word := w.text[from:w.at]
	return len(word) > 0 && (digits && word[0] != '0' || json.Valid(word))
}

var endsScalar = setOf(" \t\r\n,]}")

// unquote returns the text of a string with escapes.
func unquote(quoted []byte) (content []byte, ok bool) {
	var text string
	err := json.Unmarshal(quoted, &text)
	return []byte(text), err == nil
}

// plain returns the text of a string, and of anything else its JSON.
func plain(value []byte) []byte {
	if content, ok := unquote(value); value[0] == '"' && ok {
		return content
	}
	return value
}

const hexadecimal = "0123456789abcdef"

// appendQuoted appends a text as a JSON string (RFC 8259, section 7).
func appendQuoted(to, text []byte) []byte {
	to = append(to, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c >= ' ':
			to = append(to, c)
		case c == '\n':
			to = append(to, `\n`...)
		case c == '\t':
			to = append(to, `\t`...)
		default:
			to = append(to, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&15])
		}
	}
	return append(to, '"')
}
