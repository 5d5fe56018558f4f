package redact

import (
	"bytes"
	"encoding/json"
	"strings"
)

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

// between reads what may stand between texts of JSON and at their end: spaces, commas,
// the separators of RFC 7464, and the zeros of C.
func (w *jsonWriter) between() {
	for w.at < len(w.text) && strings.IndexByte(" \t\n\r,\x1e\x00", w.text[w.at]) >= 0 {
		w.at++
	}
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
	return len(word) > 0 && (digits && word[0] != '0' || json.Valid(word) || isLoose(word))
}

// isLoose reports whether a word is a value of JavaScript or Python that JSON does not
// have: NaN and its kind, and numbers such as 01 and .5.
func isLoose(word []byte) bool {
	word = bytes.TrimLeft(word, "+-")
	switch string(word) {
	case "NaN", "nan", "Infinity", "inf", "undefined", "None", "True", "False":
		return true
	}
	for _, c := range word {
		if !isDigit(c) && strings.IndexByte("+-.eE", c) < 0 {
			return false
		}
	}
	return len(word) > 0
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
