package pgarchive

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// SQLName joins a schema and a name as SQL writes them, quoted where needed. Bytes that
// are not UTF-8 are written as \xNN: the dump of a database with another encoding can have
// them, and a name is a key of the manifest's JSON.
func SQLName(schema, name string) string {
	return validUTF8(sqlName(schema, name))
}

func validUTF8(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var out strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&out, `\x%02X`, text[0])
		} else {
			out.WriteString(text[:n])
		}
		text = text[n:]
	}
	return out.String()
}

func sqlName(schema, name string) string {
	if schema == "" {
		return Quote(name)
	}
	return Quote(schema) + "." + Quote(name)
}

// Quote quotes an identifier that is more than lower-case letters, digits and _.
func Quote(name string) string {
	for i, r := range name {
		plain := r == '_' || r >= 'a' && r <= 'z' || i > 0 && r >= '0' && r <= '9'
		if !plain {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

// copyColumns returns the names in the list of a COPY statement, unquoted.
func copyColumns(statement string) (names []string) {
	start := outsideQuotes(statement, '(')
	if start < 0 {
		return nil
	}
	rest := statement[start+1:]
	for {
		end := outsideQuotes(rest, ',')
		last := outsideQuotes(rest, ')')
		if end < 0 || last >= 0 && last < end {
			if last < 0 {
				return names
			}
			return append(names, unquote(rest[:last]))
		}
		names = append(names, unquote(rest[:end]))
		rest = rest[end+1:]
	}
}

func outsideQuotes(text string, want byte) int {
	quoted := false
	for i := range len(text) {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == want && !quoted:
			return i
		}
	}
	return -1
}

func unquote(name string) string {
	name = strings.TrimSpace(name)
	if inner, ok := strings.CutPrefix(name, `"`); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, `"`), `""`, `"`)
	}
	return name
}
