package redact

import "github.com/nova/novawire/api/redaction"

// span is a match.
type span struct {
	from, to int
	*valueRule
}

// maxMatches is how many matches of one text are told apart: a text of a few bytes for
// each would take a multiple of its memory.
const maxMatches = 1 << 13

// matches are the matches of rules in a text.
type matches struct {
	text  []byte
	rule  *valueRule // the rule that looks
	spans []span
}

// add adds a match, and reports whether the rule has to look further. Where there are
// too many, the match is the rest of the text.
func (m *matches) add(from, to int) bool {
	isFull := len(m.spans) >= maxMatches
	if isFull {
		to = len(m.text)
	}
	m.spans = append(m.spans, span{from, to, m.rule})
	return !isFull && m.rule.action != redaction.Drop // one match drops all of the text
}
