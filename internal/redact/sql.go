package redact

import "bytes"

// scanSQL finds the literals of an SQL statement: texts in single quotes and between
// dollar quotes, and numbers. Comments count as literals: anything may stand there. Text
// in double quotes or backquotes is an identifier, as standard SQL and MySQL have it, and
// stays.
//
// Where databases read a statement differently, so that what follows is unclear, the rest
// counts as a literal: behind a backslash before a quote, a comment in a comment, Oracle's
// q'[…]' and brackets with a single quote. Behind a brace the statement is no SQL, but
// a query of MongoDB or the like, and text in double quotes is a literal.
func scanSQL(m *matches) {
	text := m.text
	braces := false
	for i := 0; i < len(text); {
		from := i
		literal := true
		switch c := text[i]; {
		case c == '\'':
			i = quotedEnd(text, i)
		case c == '$':
			i, literal = dollarEnd(text, i)
		case c == '-' && hasAt(text, i, "--"), c == '#' && !hasAt(text, i+1, ">"):
			i += restOfLine(text[i:])
		case c == '/' && hasAt(text, i, "/*"):
			i = commentEnd(text, i)
		case c == '"' && braces:
			i = quotedEnd(text, i)
		case c == '"' || c == '`':
			i, literal = identifierEnd(text, i)
		case c == '[':
			i, literal = bracketEnd(text, i)
		case isDigit(c) || c == '.' && i+1 < len(text) && isDigit(text[i+1]):
			i = numberEnd(text, i)
		case isWord(c):
			i, literal = wordEnd(text, i), false
			if isOracle(text, from, i) {
				from, i, literal = i, len(text), true
			}
		default:
			braces = braces || c == '{'
			i, literal = i+1, false
		}
		if literal && !m.add(from, i) {
			return
		}
	}
}

func hasAt(text []byte, at int, what string) bool {
	return at <= len(text) && bytes.HasPrefix(text[at:], []byte(what))
}

// after returns the index behind the next occurrence of what, or the end.
func after(text []byte, from int, what string) int {
	if n := bytes.Index(text[from:], []byte(what)); n >= 0 {
		return from + n + len(what)
	}
	return len(text)
}

func quotedEnd(text []byte, i int) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == quote:
			return len(text)
		case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

// dollarEnd returns the end of a text between dollar quotes (PostgreSQL, "Dollar-Quoted
// String Constants"), or of a parameter such as $1, which is no literal.
func dollarEnd(text []byte, i int) (end int, literal bool) {
	tag := i + 1
	for tag < len(text) && isWord(text[tag]) && text[tag] != '$' {
		tag++
	}
	if tag < len(text) && text[tag] == '$' && !(i+1 < tag && isDigit(text[i+1])) {
		return after(text, tag+1, string(text[i:tag+1])), true
	}
	return tag, false
}

// commentEnd returns the end of a comment. PostgreSQL has comments in comments, MySQL
// has not.
func commentEnd(text []byte, i int) int {
	end := after(text, i+2, "*/")
	if bytes.Contains(text[i+2:end], []byte("/*")) {
		return len(text)
	}
	return end
}

// identifierEnd returns the end of a quoted identifier. A quote that is never closed is
// none.
func identifierEnd(text []byte, i int) (end int, literal bool) {
	n := bytes.IndexByte(text[i+1:], text[i])
	if n < 0 {
		return i + 1, false
	}
	if end = i + 1 + n; text[end-1] == '\\' {
		return len(text), true
	}
	return end + 1, false
}

// bracketEnd returns the end of what an opening bracket begins: the bracket alone, unless
// a single quote stands in it, which may be a letter of an identifier of T-SQL.
func bracketEnd(text []byte, i int) (end int, literal bool) {
	rest := text[i:]
	end = bytes.IndexByte(rest, ']')
	if quote := bytes.IndexByte(rest, '\''); quote > 0 && quote < end && bytes.Count(rest[:end], []byte("'"))%2 == 1 {
		return len(text), true
	}
	return i + 1, false
}

// isOracle reports whether a word is the beginning of a text such as q'[it's]' that
// other databases read differently.
func isOracle(text []byte, from, end int) bool {
	word := string(text[from:end])
	if word != "q" && word != "Q" && word != "nq" && word != "NQ" && word != "Nq" && word != "nQ" || end+1 >= len(text) || text[end] != '\'' {
		return false
	}
	closing := text[end+1]
	if n := bytes.IndexByte([]byte("[{(<"), closing); n >= 0 {
		closing = "]})>"[n]
	}
	return after(text, end+2, string([]byte{closing, '\''})) != quotedEnd(text, end)
}

func isWord(c byte) bool { return isAlphanumeric(c) || c == '_' || c >= 0x80 }

// wordEnd returns the end of a keyword or an identifier, also of one that holds digits
// or a dollar sign. The prefix of a text, such as E'…' or N'…', ends before its quote.
func wordEnd(text []byte, i int) int {
	for i < len(text) && (isWord(text[i]) || text[i] == '$') {
		i++
	}
	return i
}

// numberEnd returns the end of a number: 1, 1.5, 1e-9, 0x1f, 1_000.
func numberEnd(text []byte, i int) int {
	for ; i < len(text); i++ {
		c := text[i]
		signed := (c == '+' || c == '-') && lowerByte(text[i-1]) == 'e' && i+1 < len(text) && isDigit(text[i+1])
		if !isWord(c) && c != '.' && !signed {
			break
		}
	}
	return i
}
