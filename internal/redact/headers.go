package redact

import (
	"bytes"
	"encoding/base64"
)

// scanAuthorization finds what follows "authorization:" or "authorization=", to the end
// of the line or of the quotes around it.
func scanAuthorization(m *matches) {
	scanNamed(m, &dividesName, authorizationNames, restOfLine)
}

func scanCookies(m *matches) {
	scanNamed(m, &dividesName, cookieNames, restOfLine)
}

func scanAWSSecrets(m *matches) {
	scanNamed(m, &dividesArgument, awsNames, restOfWord)
}

// scanNamed finds values behind names. divides are the first characters of what may stand
// between them. end returns where a value without quotes ends.
func scanNamed(m *matches, divides *[256]bool, names []string, end func(value []byte) int) {
	text := m.text
	for i := 0; i < len(text); i++ {
		if !divides[text[i]] {
			continue
		}
		from, to := namedValue(text, i, names, end)
		if from >= to {
			continue
		}
		if !m.add(from, to) {
			return
		}
		i = len(bytes.TrimRight(text[:to], fillers)) - 1 // a name may end the value, and stand before the next
	}
}

var dividesName, dividesArgument = setOf(dividers), setOf(dividers + " ")

// namedValue returns where the value behind a name stands, if one is divided from its
// name at i: by a colon or an equals sign, also percent-encoded; by a comma, as in pairs
// of Python and lists of headers; by the end of a tag of XML; by a space, on a command line.
func namedValue(text []byte, i int, names []string, end func([]byte) int) (from, to int) {
	width := 1
	switch text[i] {
	case '%':
		if width = 3; !hasAt(text, i, "%3A") && !hasAt(text, i, "%3a") && !hasAt(text, i, "%3D") && !hasAt(text, i, "%3d") {
			return 0, 0
		}
	case ',':
		if i == 0 || text[i-1] != '"' && text[i-1] != '\'' {
			return 0, 0
		}
	case '>', ' ':
		if i == 0 || !isAlphanumeric(text[i-1]) {
			return 0, 0
		}
	}
	if !endsWithName(trimQuotes(text[:i]), names) {
		return 0, 0
	}
	from, to, isQuoted := valueAt(text, i+width, end)
	switch text[i] {
	case ',':
		if colon := colonBehind(text, to); isQuoted && colon > 0 && bytes.EqualFold(text[from:to], []byte("value")) {
			from, to, _ = valueAt(text, colon+1, end) // "name": "…", "value": "…"
		} else if !isQuoted {
			return 0, 0
		}
	case '>':
		if tag := bytes.IndexByte(text[from:to], '<'); tag >= 0 {
			to = from + tag
		}
	case ' ':
		if to-from < minCommandSecret || text[i+1] == ' ' {
			return 0, 0 // a name in a sentence
		}
	}
	return from, to
}

// minCommandSecret tells a secret behind a name from the next word of a sentence.
const minCommandSecret = 16

// fillers may stand between a name's colon and its value.
const fillers = " \t>=:[(\\"

// trimQuotes removes what may stand between a name and its colon: the end of quotes,
// escaped or not, a bracket and spaces.
func trimQuotes(text []byte) []byte { return bytes.TrimRight(text, "\"'\\ ]") }

// colonBehind returns where the colon behind the end of a text in quotes stands, or 0.
func colonBehind(text []byte, to int) int {
	at := len(text) - len(bytes.TrimLeft(text[to:], "\\\"' "))
	if at == len(text) || text[at] != ':' {
		return 0
	}
	return at
}

// valueAt returns where the value behind a colon stands. A list of texts in quotes is one
// value.
func valueAt(text []byte, from int, end func([]byte) int) (start, stop int, isQuoted bool) {
	colon := from
	from = len(text) - len(bytes.TrimLeft(text[from:], fillers))
	isList := bytes.ContainsAny(text[colon:from], "[(")
	quote := quoteAt(text, from)
	if isList && quote < 0 {
		quote = quoteAt(text, len(text)-len(bytes.TrimLeft(text[from:], betweenElements)))
	}
	if quote < 0 {
		return from, from + end(text[from:]), false
	}
	stop = closingQuote(text, quote)
	if isList {
		for next := nextElement(text, stop); next >= 0; next = nextElement(text, stop) {
			stop = closingQuote(text, next)
		}
	}
	return quote + 1, stop, true
}

// quoteAt returns where the quote of a text that begins here stands, or -1: Python writes
// b'…' for bytes.
func quoteAt(text []byte, at int) int {
	if at+1 < len(text) && (text[at] == 'b' || text[at] == 'u') && (text[at+1] == '\'' || text[at+1] == '"') {
		return at + 1
	}
	if at < len(text) && (text[at] == '\'' || text[at] == '"') {
		return at
	}
	return -1
}

// closingQuote returns where the text ends whose quote stands at open. Behind as many
// backslashes as that a quote ends the text; behind the escapes of these and of its own it
// is a part of it.
func closingQuote(text []byte, open int) int {
	depth := 0
	for depth < open && text[open-1-depth] == '\\' {
		depth++
	}
	for i, run := open+1, 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			run++
			continue
		case text[i] == text[open] && (run < depth || (run-depth)%(2*(depth+1)) == 0):
			return i - run
		}
		run = 0
	}
	return len(text)
}

// nextElement returns where the quote of the next text of a list stands, behind one that
// ends at stop, or -1.
func nextElement(text []byte, stop int) int {
	rest := bytes.TrimLeft(text[stop:], `\`)
	if len(rest) == 0 {
		return -1
	}
	rest = bytes.TrimLeft(rest[1:], betweenElements)
	if len(rest) == 0 || rest[0] != ',' {
		return -1
	}
	return quoteAt(text, len(text)-len(bytes.TrimLeft(rest[1:], betweenElements)))
}

// betweenElements may stand around the commas of a list, also of one over several lines.
const betweenElements = " \t\r\n\\"

func restOfLine(value []byte) int {
	if end := bytes.IndexAny(value, "\r\n"); end >= 0 {
		return end
	}
	return len(value)
}

func restOfWord(value []byte) int {
	if end := bytes.IndexAny(value, " \t\r\n\"'\\,;&<>{}[]()"); end >= 0 {
		return end
	}
	return len(value)
}

// scanSchemes finds the credentials behind "Bearer" and "Basic" (RFC 6750, RFC 7617).
// Behind Basic they have to be a user and a password, because it is a common word.
func scanSchemes(m *matches) {
	text := m.text
	for i := 0; i < len(text); i++ {
		if c := text[i]; c != ' ' && c != '\t' && c != '%' || gapAt(text, i) == 0 {
			continue
		}
		before := text[:i]
		isBearer := endsWithFold(before, "bearer")
		if !isBearer && !endsWithFold(before, "basic") {
			continue
		}
		from := i
		for n := gapAt(text, from); n > 0; n = gapAt(text, from) {
			from += n
		}
		to := from
		for to < len(text) && (isToken[text[to]] || text[to] == '%' && isBearer) {
			to++
		}
		if from < to && (isBearer || isUserAndPassword(text[from:to])) && !m.add(from, to) {
			return
		}
		i = max(to, from) - 1
	}
}

// gapAt returns the length of a space, also of one that is percent-encoded, or 0.
func gapAt(text []byte, i int) int {
	switch {
	case i == len(text):
	case text[i] == ' ', text[i] == '\t':
		return 1
	case text[i] == '%' && hasAt(text, i, "%20"):
		return 3
	}
	return 0
}

func endsWithFold(text []byte, word string) bool {
	return len(text) >= len(word) && bytes.EqualFold(text[len(text)-len(word):], []byte(word))
}

// isToken are the characters of a token68 (RFC 9110, section 11.2).
var isToken = setOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=")

func setOf(characters string) (set [256]bool) {
	for i := range len(characters) {
		set[characters[i]] = true
	}
	return set
}

// isUserAndPassword reports whether a token begins with base64 of a text with a colon.
func isUserAndPassword(token []byte) bool {
	return hasColon(base64.RawStdEncoding, token, "-_=.~") || hasColon(base64.RawURLEncoding, token, "+/=.~")
}

func hasColon(encoding *base64.Encoding, token []byte, end string) bool {
	if n := bytes.IndexAny(token, end); n >= 0 {
		token = token[:n]
	}
	if len(token)%4 == 1 {
		token = token[:len(token)-1]
	}
	decoded, err := encoding.AppendDecode(nil, token)
	return err == nil && bytes.IndexByte(decoded, ':') >= 0
}
