package redact

import "bytes"

const (
	// maxDepth is how deep JSON may be nested (as in fluentbit/record); a deeper text is
	// redacted as text.
	maxDepth = 128
	// maxNested is how many times JSON may stand in a string of JSON. A string that is
	// nested deeper is redacted as a whole if there is a rule for keys.
	maxNested = 4
)

// byteOrderMark may stand before JSON.
const byteOrderMark = "\xef\xbb\xbf"

// isOpening reports whether a text may be an object, an array or a string of JSON.
func isOpening(text []byte) bool {
	return len(text) > 1 && mayOpen[text[0]] && opensBehindSpace(bytes.TrimPrefix(text, []byte(byteOrderMark)))
}

var mayOpen = setOf(" \t\r\n{[\"" + byteOrderMark[:1])

func opensBehindSpace(text []byte) bool {
	for i, c := range text {
		switch c {
		case ' ', '\t', '\n', '\r':
		case '{', '[', '"':
			return len(text) > i+1
		default:
			return false
		}
	}
	return false
}

// json redacts a text that is JSON (RFC 8259), or several objects and arrays in a row: the
// values of keys, and each string. k is what the rules say about the key of the text. It
// reports false, and appends nothing, if the text is not JSON.
func (r *Redactor) json(to []byte, k Key, text []byte, nested int) ([]byte, Verdict, bool) {
	before := r.Counts
	if nested == 0 {
		r.parts = 0
	}
	w := jsonWriter{Redactor: r, text: text, to: to, nested: nested}
	if bytes.HasPrefix(text, []byte(byteOrderMark)) {
		w.at = len(byteOrderMark)
	}
	w.space()
	verdict, ok := w.value(k, 0)
	for w.between(); ok && w.at < len(text) && (text[w.at] == '{' || text[w.at] == '['); w.between() {
		_, ok = w.value(k, 0)
	}
	if r.parts > maxMatches && nested == 0 {
		return append(to, Masked...), Changed, true
	}
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
	named   Key // what the rules say about the name that the object has as a value
}

// leaveOut copies what stands before from, and leaves out what stands from there to the
// end of what was read.
func (w *jsonWriter) leaveOut(from int) {
	if from > w.copied {
		w.to = append(w.to, w.text[w.copied:from]...)
	}
	w.copied, w.changed = w.at, true
	if w.parts++; w.parts > maxMatches {
		w.at = len(w.text) // all of the text goes
	}
}

// value redacts a value; k is what the rules say about its key. After Drop the value is
// still to be removed.
func (w *jsonWriter) value(k Key, depth int) (v Verdict, ok bool) {
	if w.at == len(w.text) || depth > maxDepth {
		return Keep, false
	}
	from := w.at
	switch w.text[w.at] {
	case '{', '[':
		return Keep, w.list(k, depth)
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
	number := w.text[from:w.at]
	if k.isLiteral && lowerByte(number[0]) < 'a' {
		redacted, verdict := w.literal(number)
		return w.write(from, redacted, verdict), true
	}
	redacted, verdict := w.NumberText(nil, number)
	return w.write(from, redacted, verdict), true
}

// redactString writes the redacted text of the string that was read, unless it stays.
func (w *jsonWriter) redactString(from int, k Key, content []byte) Verdict {
	redacted, verdict := w.stringText(k, content)
	return w.write(from, redacted, verdict)
}

func (w *jsonWriter) stringText(k Key, content []byte) ([]byte, Verdict) {
	switch {
	case k.isLiteral:
		return w.literal(content)
	case w.allTexts != nil || !isOpening(content):
		return w.wholeOrPart(nil, k, content)
	}
	if w.nested < maxNested {
		if redacted, verdict, isJSON := w.json(nil, k, content, w.nested+1); isJSON {
			return redacted, verdict
		}
	}
	return w.Redactor.text(nil, k, content, w.keysIn(content, w.nested+1))
}

// literal redacts a literal of a query that is JSON.
func (r *Redactor) literal(text []byte) ([]byte, Verdict) {
	return r.replace(nil, text, []span{{0, len(text), r.sql}})
}

// write writes what stands in the place of a value, unless the value stays.
func (w *jsonWriter) write(from int, redacted []byte, verdict Verdict) Verdict {
	if verdict == Changed {
		w.leaveOut(from)
		w.to = appendQuoted(w.to, redacted)
	}
	return verdict
}

// list redacts an object or an array. k is what the rules say about its key: in an object
// that is a query all values are literals, and an array may hold several queries.
func (w *jsonWriter) list(k Key, depth int) bool {
	outer := w.named
	w.named = Key{}
	ok := w.elements(k, depth)
	w.named = outer
	return ok
}

func (w *jsonWriter) elements(k Key, depth int) bool {
	in := Key{isSQL: k.isSQL, isLiteral: k.isLiteral || k.isSQL && w.text[w.at] == '{'}
	end := w.text[w.at] + 2 // in ASCII
	w.at++
	w.space()
	if w.at < len(w.text) && w.text[w.at] == end {
		w.at++
		return true
	}
	for comma, kept := -1, false; ; w.space() {
		dropped, ok := w.element(in, end == '}', comma, kept, depth)
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

// element redacts an element of an array, or a member of an object. in is what the rules
// say about its list. kept says that one before it was kept, behind which comma stands.
func (w *jsonWriter) element(in Key, keyed bool, comma int, kept bool, depth int) (dropped, ok bool) {
	from, written, copied := w.at, len(w.to), w.copied
	if !keyed {
		verdict, ok := w.value(in, depth+1)
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
	k.isLiteral = in.isLiteral
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
	return w.keyInObject(key), true
}

// keyInObject returns what the rules say about a key. An object such as
// {"name":"password","value":"…"} is a key and its value.
func (w *jsonWriter) keyInObject(key []byte) Key {
	const longest = len("value")
	if len(w.keys) == 0 || len(key) > longest {
		return w.Key(key)
	}
	switch string(key) {
	case "name", "Name", "key", "Key":
		k := w.Key(key)
		if at := w.at; at < len(w.text) && w.text[at] == '"' {
			if name, ok := w.str(); ok {
				w.named = w.Key(name)
			}
			w.at = at
		}
		return k
	case "value", "Value":
		if k := w.Key(key); k.whole != nil || w.named.whole == nil {
			return k
		}
		return w.named
	}
	return w.Key(key)
}
