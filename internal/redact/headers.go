package redact

import (
	"bytes"
	"encoding/base64"
)

// scanAuthorization finds what follows "authorization:" or "authorization=", to the end
// of the line or of the quotes around it.
func scanAuthorization(m *matches) {
	scanNamed(m, authorizationNames, restOfLine)
}

func scanCookies(m *matches) {
	scanNamed(m, cookieNames, restOfLine)
}

func scanAWSSecrets(m *matches) {
	scanNamed(m, awsNames, restOfWord)
}

// scanNamed finds values behind names. end returns where a value without quotes ends.
func scanNamed(m *matches, names []string, end func(value []byte) int) {
	text := m.text
	for i := 0; i < len(text); i++ {
		if c := text[i]; c != ':' && c != '=' || !endsWithName(trimQuotes(text[:i]), names) {
			continue
		}
		from, to := valueAt(text, i+1, end)
		if from < to {
			if !m.add(from, to) {
				return
			}
			i = len(bytes.TrimRight(text[:to], fillers)) - 1 // a name may end the value, and stand before the next
		}
	}
}

// fillers may stand between a name's colon and its value.
const fillers = " \t>=:[\\"

// trimQuotes removes what may stand between a name and its colon: the end of quotes,
// escaped or not, a bracket and spaces.
func trimQuotes(text []byte) []byte { return bytes.TrimRight(text, "\"'\\ ]") }

// valueAt returns where the value behind a colon stands.
func valueAt(text []byte, from int, end func([]byte) int) (start, stop int) {
	from = len(text) - len(bytes.TrimLeft(text[from:], fillers))
	if from == len(text) {
		return from, from
	}
	if quote := text[from]; quote == '"' || quote == '\'' {
		from++
		length := bytes.IndexByte(text[from:], quote)
		if length < 0 {
			return from, len(text)
		}
		return from, from + len(bytes.TrimRight(text[from:from+length], `\`))
	}
	return from, from + end(text[from:])
}

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
		if text[i] != ' ' {
			continue
		}
		before := text[:i]
		isBearer := endsWithWord(before, "bearer")
		if !isBearer && !endsWithWord(before, "basic") {
			continue
		}
		from := i
		for from < len(text) && text[from] == ' ' {
			from++
		}
		to := from
		for to < len(text) && isToken[text[to]] {
			to++
		}
		if from < to && (isBearer || isUserAndPassword(text[from:to])) && !m.add(from, to) {
			return
		}
		i = max(to, from) - 1
	}
}

func endsWithWord(text []byte, word string) bool {
	if len(text) < len(word) {
		return false
	}
	for i, c := range text[len(text)-len(word):] {
		if lowerByte(c) != word[i] {
			return false
		}
	}
	return true
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
