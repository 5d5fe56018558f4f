package record

import "unicode/utf8"

// writer writes messages in the form of a request: JSON inside a JSON string.
// Text that is appended to buf is escaped for the outer string; size counts the
// bytes of the message itself, as the service does.
type writer struct {
	buf  []byte
	size int
}

// escapes maps a byte to how a JSON string writes it: 0 unchanged, 1 with a
// backslash, 2 as a control character.
var escapes = func() (table [256]uint8) {
	for c := range 0x20 {
		table[c] = 2
	}
	table['"'], table['\\'] = 1, 1
	return table
}()

// json appends a piece of JSON text in UTF-8.
func (w *writer) json(text []byte) {
	w.size += len(text)
	n := len(w.buf)
	w.buf = grow(w.buf, 2*len(text))
	to := w.buf[:cap(w.buf)]
	for i, c := range text {
		e := escapes[c]
		if e == 2 { // white space between tokens
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

// jsonWithControls is the slow path of json.
func (w *writer) jsonWithControls(text []byte) {
	for _, c := range text {
		w.buf = appendEscaped(w.buf, c)
	}
}

// str appends text in UTF-8 as a JSON string.
func (w *writer) str(text []byte) {
	w.json(quote)
	w.stringContent(text)
	w.json(quote)
}

var quote = []byte{'"'}

// stringContent appends the inside of a JSON string: escaped for that string, and
// the result for the outer one.
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

// raw appends text that needs no escape at any level.
func (w *writer) raw(text []byte) {
	w.size += len(text)
	w.buf = append(w.buf, text...)
}

// fragment appends a piece that is escaped already.
func (w *writer) fragment(f fragment) {
	w.size += f.size
	w.buf = append(w.buf, f.escaped...)
}

// fragment is a piece of messages that is written often.
type fragment struct {
	escaped []byte
	size    int
}

const hexadecimal = "0123456789abcdef"

// appendEscaped appends a byte as a JSON string writes it (RFC 8259, section 7).
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

// unescaped reverses one level of appendEscaped.
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

// grow returns b with room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := make([]byte, len(b), 2*cap(b)+n)
	copy(bigger, b)
	return bigger
}

// validUTF8 returns the text with each run of invalid bytes replaced by U+FFFD,
// which is how the service counts it. It returns valid text unchanged.
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
// logEvents, and returns the size of the message in bytes.
func AppendEntry(b []byte, at int64, message []byte) (entry []byte, size int) {
	d := Decoder{w: writer{buf: b}}
	d.beginEntry(at)
	d.w.json(message)
	return append(d.w.buf, `"}`...), d.w.size
}
