package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// printableWriter passes text on and escapes what a terminal could obey: control
// characters, bytes that are no UTF-8 and characters that change the direction of
// text. Names of databases and tables and the content of a bucket may hold any of
// them. Newlines and tabs pass. The escapes are those of JSON, so that JSON stays
// what it is.
type printableWriter struct{ to io.Writer }

// Write implements [io.Writer]. It reports the length of p, not of the escaped text.
func (w printableWriter) Write(p []byte) (int, error) {
	if _, err := w.to.Write(printable(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func printable(text []byte) []byte {
	var out bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\u%04x`, text[0])
		case r == '\n' || r == '\t' || strconv.IsPrint(r):
			out.Write(text[:size])
		case r > 0xffff:
			out.WriteString("\ufffd") // no character that a name needs
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out.Bytes()
}
