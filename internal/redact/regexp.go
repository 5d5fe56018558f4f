package redact

import (
	"bytes"
	"io"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// pattern is a regular expression that takes time in proportion to the text. That is not
// so of each one by itself: to find a match, RE2 may have to read the text to its end,
// and it begins again behind each match.
type pattern struct {
	literal []byte // stands in every match
	whole   *regexp.Regexp
	rest    *regexp.Regexp // the same behind one character, as its only group
}

const (
	// freeMatches are looked for without a count: few, and as fast as RE2 is.
	freeMatches = 8
	// readsPerByte is how often the bytes of a text are read for all other matches.
	readsPerByte = 6
)

func compile(text, literal string) *pattern {
	parsed, _ := syntax.Parse(text, syntax.Perl) // closes what the text may leave open, such as \Q
	return &pattern{
		literal: []byte(literal),
		whole:   regexp.MustCompile(text),
		rest:    regexp.MustCompile(`\A(?s:.)(?s:.*?)(` + parsed.String() + `)`),
	}
}

func (p *pattern) scan(m *matches) {
	if !bytes.Contains(m.text, p.literal) {
		return
	}
	all := p.whole.FindAllIndex(m.text, freeMatches)
	for _, at := range all {
		if at[0] < at[1] && !m.add(at[0], at[1]) {
			return
		}
	}
	if len(all) == freeMatches {
		p.scanRest(m, all[len(all)-1][1], &counter{left: readsPerByte * len(m.text)})
	}
}

// scanRest finds the matches from some place on, as far as the count allows. What it
// cannot look at is a match: nobody knows what is in it.
func (p *pattern) scanRest(m *matches, from int, reads *counter) {
	for from < len(m.text) {
		_, size := utf8.DecodeLastRune(m.text[:from]) // what stands before may decide, as with \b
		start := from - size
		reads.text = m.text[start:]
		at := p.rest.FindReaderSubmatchIndex(reads)
		if reads.left <= 0 {
			m.add(from, len(m.text))
			return
		}
		if at == nil {
			return
		}
		begin, end := start+at[2], start+at[3]
		if begin < end && !m.add(begin, end) {
			return
		}
		if from = end; begin == end {
			_, size := utf8.DecodeRune(m.text[end:])
			from += max(size, 1)
		}
	}
}

// counter reads a text until its count is used up.
type counter struct {
	text []byte
	left int // bytes, and tries
}

// ReadRune implements [io.RuneReader].
func (c *counter) ReadRune() (rune, int, error) {
	c.left--
	if len(c.text) == 0 || c.left <= 0 {
		return 0, 0, io.EOF
	}
	char, size := utf8.DecodeRune(c.text)
	c.text = c.text[size:]
	return char, size, nil
}
