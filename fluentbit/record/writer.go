package record

import "unicode/utf8"

// A writer writes messages as they stand in a request: JSON inside a JSON
// string. What is appended to buf is escaped for the string around it; size is
// what the service counts, the bytes of the message itself.
type writer struct {
	buf  []byte
	size int
}

// escapes says what becomes of a byte inside a JSON string: 0 stays, 1 gets a
// backslash, 2 is a control character.
var escapes = func() (table [256]uint8) {
	for c := range 0x20 {
		table[c] = 2
	}
	table['"'], table['\\'] = 1, 1
	return table
}()

// json appends a piece of JSON text, which is UTF-8.
func (w *writer) json(text []byte) {
	w.size += len(text)
	n := len(w.buf)
	w.buf = grow(w.buf, 2*len(text))
	to := w.buf[:cap(w.buf)]
	for i, c := range text {
		e := escapes[c]
		if e == 2 { // white space between tokens, and nothing else
			w.buf = to[:n]
			w.jsonWithControls(text[i:])
			return
		}
		to[n] = '\\'
		n += int(e)
		to[n] = c
		n++
	}
	w.buf = to[:n]
}

// jsonWithControls is json without haste.
func (w *writer) jsonWithControls(text []byte) {
	for _, c := range text {
		w.buf = appendEscaped(w.buf, c)
	}
}

// str appends a JSON string of text, which is UTF-8.
func (w *writer) str(text []byte) {
	w.json(quote)
	w.stringContent(text)
	w.json(quote)
}

var quote = []byte{'"'}

// stringContent appends the inside of a JSON string: it is escaped for that string, and
// what results for the one around it.
func (w *writer) stringContent(text []byte) {
	from := 0
	for i, c := range text {
		if escapes[c] == 0 {
			continue
		}
		w.raw(text[from:i])
		from = i + 1
		var short [6]byte
		w.json(appendEscaped(short[:0], c))
	}
	w.raw(text[from:])
}

// raw appends what needs no escape on any level.
func (w *writer) raw(text []byte) {
	w.size += len(text)
	w.buf = append(w.buf, text...)
}

// fragment appends what was escaped before, together with its size.
func (w *writer) fragment(f fragment) {
	w.size += f.size
	w.buf = append(w.buf, f.escaped...)
}

// A fragment is a piece of messages that is written often.
type fragment struct {
	escaped []byte
	size    int
}

const hexadecimal = "0123456789abcdef"

// appendEscaped appends a byte as it stands in a JSON string (RFC 8259, section 7).
func appendEscaped(b []byte, c byte) []byte {
	switch escapes[c] {
	case 0:
		return append(b, c)
	case 1:
		return append(b, '\\', c)
	}
	switch c {
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&15])
}

// appendString appends a JSON string.
func appendString(b, text []byte) []byte {
	b = append(b, '"')
	for _, c := range text {
		b = appendEscaped(b, c)
	}
	return append(b, '"')
}

// unescaped undoes one level of what appendEscaped does.
func unescaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		i++
		switch c = text[i]; c {
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			c = unhex(text[i+3])<<4 | unhex(text[i+4])
			i += 4
		}
		out = append(out, c)
	}
	return out
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

// grow makes room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := make([]byte, len(b), 2*cap(b)+n)
	copy(bigger, b)
	return bigger
}

// validUTF8 returns the text with each run of bytes that is no UTF-8 replaced by
// U+FFFD, as the service would count it; a valid text is returned as it is.
func validUTF8(text, scratch []byte) (valid, used []byte) {
	if utf8.Valid(text) {
		return text, scratch
	}
	start, bad := len(scratch), false
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			if !bad {
				scratch = utf8.AppendRune(scratch, utf8.RuneError)
			}
			bad = true
		} else {
			scratch, bad = append(scratch, text[i:i+n]...), false
		}
		i += n
	}
	return scratch[start:len(scratch):len(scratch)], scratch
}

// AppendEntry appends a message of JSON text as an element of a request's
// logEvents, and returns how many bytes the message has.
func AppendEntry(b []byte, at int64, message []byte) (entry []byte, size int) {
	d := Decoder{w: writer{buf: b}}
	d.beginEntry(at)
	d.w.json(message)
	return append(d.w.buf, `"}`...), d.w.size
}
