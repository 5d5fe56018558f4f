package postgres

import "strings"

// patternRegex translates one part of a psql pattern to a regular expression of
// PostgreSQL, as psql and pg_dump do: letters are folded to lower case, * is any text
// and ? any character; inside double quotes nothing has a meaning. Other special
// characters keep theirs in a regular expression.
func patternRegex(part string) string {
	var regex strings.Builder
	quoted := false
	for i := 0; i < len(part); i++ {
		switch c := part[i]; {
		case c == '"' && quoted && strings.HasPrefix(part[i+1:], `"`):
			regex.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == '$' || quoted && strings.IndexByte(`|*+?()[]{}.^\`, c) >= 0:
			regex.WriteByte('\\')
			regex.WriteByte(c)
		case quoted:
			regex.WriteByte(c)
		case c == '*':
			regex.WriteString(".*")
		case c == '?':
			regex.WriteByte('.')
		case c == '[' && strings.HasPrefix(part[i+1:], "]"): // the type of an array
			regex.WriteString(`\[`)
		case c >= 'A' && c <= 'Z':
			regex.WriteByte(c + 'a' - 'A')
		default:
			regex.WriteByte(c)
		}
	}
	return "^(" + regex.String() + ")$"
}
