// Package sqltext splits SQL that PostgreSQL's own programs wrote into statements and
// tokens. It reads text from a bucket, which is data: nothing of it is run unless a
// caller recognizes the statement and writes it anew.
package sqltext

import (
	"fmt"
	"strings"
)

// Kind is the kind of a token.
type Kind int

// Kinds of tokens.
const (
	Word       Kind = iota // a keyword, a number or an identifier without quotes
	Identifier             // in double quotes; Text is without them
	String                 // in single quotes; Text is the value
	Symbol                 // any other character
)

// Token is one token of a statement.
type Token struct {
	Kind Kind
	Text string
}

// Is reports whether the token is a keyword or a symbol.
func (t Token) Is(text string) bool {
	return t.Kind == Word && strings.EqualFold(t.Text, text) || t.Kind == Symbol && t.Text == text
}

// Name returns the identifier that the token stands for.
func (t Token) Name() string {
	if t.Kind == Word {
		return strings.ToLower(t.Text)
	}
	return t.Text
}

// IsName reports whether the token can be an identifier.
func (t Token) IsName() bool { return t.Kind == Word || t.Kind == Identifier }

// SQL writes the token as SQL that means it and nothing else.
func (t Token) SQL() string {
	switch t.Kind {
	case Identifier:
		return Quote(t.Text)
	case String:
		return Literal(t.Text)
	case Word, Symbol:
	}
	return t.Text
}

// Statement is the tokens of one statement, without the semicolon.
type Statement []Token

// SQL writes the statement anew from its tokens.
func (s Statement) SQL() string {
	words := make([]string, len(s))
	for i, t := range s {
		words[i] = t.SQL()
	}
	return strings.Join(words, " ")
}

// Begins reports whether the statement begins with these keywords.
func (s Statement) Begins(keywords ...string) bool {
	if len(s) < len(keywords) {
		return false
	}
	for i, k := range keywords {
		if !s[i].Is(k) {
			return false
		}
	}
	return true
}

// Quote writes an identifier.
func Quote(name string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(name, "\x00", ""), `"`, `""`) + `"`
}

// Literal writes a value, for a session with standard_conforming_strings.
func Literal(value string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(value, "\x00", ""), "'", "''") + "'"
}

// Split splits a text into statements. It drops comments, and lines outside of a
// statement that begin with a backslash, which are psql's. A text that it does not
// understand is an error.
func Split(text string) ([]Statement, error) {
	var all []Statement
	var statement Statement
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.HasPrefix(text[i:], "--"), c == '\\' && len(statement) == 0:
			i += lineLength(text[i:])
		case c == ';':
			if len(statement) > 0 {
				all = append(all, statement)
			}
			statement = nil
			i++
		case c == '"' || c == '\'':
			value, n := quoted(text[i:], c)
			if n == 0 {
				return nil, fmt.Errorf("read SQL: a %c at byte %d is not closed", c, i)
			}
			statement = append(statement, Token{map[byte]Kind{'"': Identifier, '\'': String}[c], value})
			i += n
		case (c == 'E' || c == 'e') && strings.HasPrefix(text[i+1:], "'"):
			value, n := escaped(text[i+1:])
			if n == 0 {
				return nil, fmt.Errorf("read SQL: a string at byte %d is not closed", i)
			}
			statement = append(statement, Token{String, value})
			i += 1 + n
		case isWord(c):
			n := 0
			for i+n < len(text) && (isWord(text[i+n]) || n > 0 && text[i+n] == '$') {
				n++
			}
			statement = append(statement, Token{Word, text[i : i+n]})
			i += n
		case strings.IndexByte("()[],.=-+*:", c) >= 0:
			statement = append(statement, Token{Symbol, text[i : i+1]})
			i++
		default:
			return nil, fmt.Errorf("read SQL: a character %q at byte %d is not expected", c, i)
		}
	}
	if len(statement) > 0 {
		return nil, fmt.Errorf("read SQL: the last statement has no end")
	}
	return all, nil
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

func lineLength(text string) int {
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		return end + 1
	}
	return len(text)
}

// quoted reads a quoted token, in which a doubled quote stands for one, and returns its
// length; 0 if it is not closed.
func quoted(text string, quote byte) (string, int) {
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != quote {
			out.WriteByte(text[i])
			continue
		}
		if i+1 == len(text) || text[i+1] != quote {
			return out.String(), i + 1
		}
		out.WriteByte(quote)
		i++
	}
	return "", 0
}

// escaped reads a string with backslash escapes; only \\ and \' are known.
func escaped(text string) (string, int) {
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '\\' || text[i+1] == '\''):
			i++
			out.WriteByte(text[i])
		case text[i] == '\\':
			return "", 0
		case text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
			out.WriteByte('\'')
		case text[i] == '\'':
			return out.String(), i + 1
		default:
			out.WriteByte(text[i])
		}
	}
	return "", 0
}
