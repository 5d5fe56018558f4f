package redact

import (
	"regexp/syntax"
	"strings"
)

// valueRule scans texts.
type valueRule struct {
	target
	need
	instead string // what a mask writes; "" for [Masked]
	scan    func(m *matches)
}

// newPattern returns the rule of a regular expression that api/redaction has accepted.
func newPattern(t target, pattern string) valueRule {
	parsed, _ := syntax.Parse(pattern, syntax.Perl)
	required := requirementOf(parsed)
	p := compile(pattern, required.literal)
	return valueRule{target: t, need: need{bytes: required.bytes, length: required.length}, scan: p.scan}
}

// requirement is what every match of a pattern holds.
type requirement struct {
	bytes   string // one of these bytes; "" if nothing is known
	literal string // this text; "" if nothing is known
	length  int    // so many bytes at least
}

// better returns the requirement whose bytes are fewer, with the longer literal.
func (r requirement) better(o requirement) requirement {
	if r.bytes == "" || o.bytes != "" && len(o.bytes) < len(r.bytes) {
		r.bytes = o.bytes
	}
	if len(o.literal) > len(r.literal) {
		r.literal = o.literal
	}
	return r
}

func requirementOf(re *syntax.Regexp) requirement {
	switch re.Op {
	case syntax.OpLiteral:
		return literalOf(re)
	case syntax.OpCharClass:
		return requirement{bytes: classOf(re.Rune), length: 1}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return requirement{length: 1}
	case syntax.OpCapture, syntax.OpPlus:
		return requirementOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			r := requirementOf(re.Sub[0])
			r.length *= re.Min
			return r
		}
	case syntax.OpConcat:
		var all requirement
		for _, sub := range re.Sub {
			r := requirementOf(sub)
			length := all.length + r.length
			all = all.better(r)
			all.length = length
		}
		return all
	case syntax.OpAlternate:
		all := requirementOf(re.Sub[0])
		all.literal = ""
		for _, sub := range re.Sub[1:] {
			r := requirementOf(sub)
			all.length = min(all.length, r.length)
			if all.bytes == "" || r.bytes == "" {
				all.bytes = ""
			} else {
				all.bytes += r.bytes
			}
		}
		return all
	default: // matches the empty text, or nothing is known
	}
	return requirement{}
}

// literalOf returns the requirement of a literal: of one whose case does not matter, the
// length alone, because some letters are folded to others of another length.
func literalOf(re *syntax.Regexp) requirement {
	if re.Flags&syntax.FoldCase != 0 {
		return requirement{length: len(re.Rune)}
	}
	text := string(re.Rune)
	return requirement{bytes: rarest(text), literal: text, length: len(text)}
}

// rarest returns the byte of a text that other texts have most seldom, as a guess.
func rarest(text string) string {
	best, rank := text[:1], -1
	for i := range len(text) {
		c, of := text[i], 4
		switch {
		case c >= 'a' && c <= 'z':
			of = 0
		case isDigit(c):
			of = 1
		case strings.IndexByte(" ._-/:", c) >= 0:
			of = 2
		case c >= 'A' && c <= 'Z':
			of = 3
		}
		if of > rank {
			best, rank = text[i:i+1], of
		}
	}
	return best
}

// classOf returns the bytes of a class of ASCII characters, or "" for another.
func classOf(ranges []rune) string {
	var all []byte
	for i := 0; i+1 < len(ranges); i += 2 {
		for c := ranges[i]; c <= ranges[i+1]; c++ {
			if c >= 0x80 || len(all) > 64 {
				return ""
			}
			all = append(all, byte(c))
		}
	}
	return string(all)
}
