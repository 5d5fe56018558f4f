package redact

import (
	"cmp"
	"slices"

	"github.com/nova/novawire/api/redaction"
)

// Verdict says what became of a text.
type Verdict uint8

// The verdicts. After Drop nothing was appended: the caller removes the attribute, or
// uses [Masked] where there is none.
const (
	Keep    Verdict = iota // nothing was appended: the text stays as it is
	Changed                // the new text was appended
	Drop
)

// Value redacts the text of a value. k is what the rules say about its key, or the zero
// Key. A text that is JSON is redacted as such.
func (r *Redactor) Value(to []byte, k Key, text []byte) ([]byte, Verdict) {
	if r.allTexts == nil && isOpening(text) {
		if to, verdict, isJSON := r.json(to, k, text, 0); isJSON {
			return to, verdict
		}
		return r.text(to, k, text, r.keysIn(text, 0))
	}
	return r.wholeOrPart(to, k, text)
}

// wholeOrPart redacts all of a text, if a rule that cannot be read might mean it, or what
// matches in it.
func (r *Redactor) wholeOrPart(to []byte, k Key, text []byte) ([]byte, Verdict) {
	if r.allTexts == nil || len(text) == 0 {
		return r.text(to, k, text, nil)
	}
	r.Counts[r.allTexts.name]++
	return r.appendInstead(to, r.allTexts, text), Changed
}

// NumberText redacts a number in decimal: as a whole, because a number without some of
// its digits is another number.
func (r *Redactor) NumberText(to, text []byte) ([]byte, Verdict) {
	if r.allTexts != nil {
		return r.wholeOrPart(to, Key{}, text)
	}
	if len(r.values) == 0 {
		return to, Keep
	}
	spans := r.find(text)
	for i := range spans {
		spans[i].from, spans[i].to = 0, len(text)
	}
	if len(spans) == 0 {
		return to, Keep
	}
	return r.replace(to, text, spans)
}

// DropsValues reports whether a rule may drop a value because of its text.
func (r *Redactor) DropsValues() bool { return r.drops }

// Drops reports whether [Redactor.Value] drops the text, and counts it if so. Callers ask
// before they write what stands around it.
func (r *Redactor) Drops(k Key, text []byte) bool {
	if !r.drops {
		return false
	}
	before := r.Counts
	var verdict Verdict
	if r.scratch, verdict = r.Value(r.scratch[:0], k, text); verdict == Drop {
		return true
	}
	r.Counts = before
	return false
}

// Name redacts a text that names something, such as a metric or a scope: it stays as it
// is if only a rule that cannot be read might mean it.
func (r *Redactor) Name(to, text []byte) ([]byte, Verdict) { return r.text(to, Key{}, text, nil) }

// KeyName redacts a key itself.
func (r *Redactor) KeyName(to, key []byte) ([]byte, Verdict) {
	if len(r.values) == 0 || r.decide(key).clean {
		return to, Keep
	}
	to, verdict := r.text(to, Key{}, key, nil)
	if verdict == Drop {
		return append(to, Masked...), Changed
	}
	return to, verdict
}

// Contains reports whether a rule matches in bytes that cannot be changed in part, and
// counts it. A rule that cannot be read might mean any of them.
func (r *Redactor) Contains(content []byte) bool {
	if r.allKeys != nil {
		r.Counts[r.allKeys.name]++
		return true
	}
	return r.matchesIn(content)
}

func (r *Redactor) matchesIn(content []byte) bool {
	spans := r.find(content)
	for _, s := range spans {
		r.Counts[s.name]++
	}
	return len(spans) > 0
}

// text redacts what matches in a text, and the values of keys that were found in it.
func (r *Redactor) text(to []byte, k Key, text []byte, values []span) ([]byte, Verdict) {
	spans := r.find(text)
	if k.isSQL {
		spans = r.scan(r.sql, text)
	}
	if k.isURL {
		spans = r.scan(r.url, text)
	}
	spans = append(spans, values...)
	if len(spans) == 0 {
		return to, Keep
	}
	return r.replace(to, text, spans)
}

// find returns the matches of all rules that look at any text. They are valid until the
// next call.
func (r *Redactor) find(text []byte) []span {
	r.found.spans = r.found.spans[:0]
	seen := r.look(text)
	for i := range r.values {
		if rule := &r.values[i]; rule.may(seen, text) {
			r.scan(rule, text)
		}
	}
	return r.found.spans
}

// scan adds the matches of a rule to those that were found.
func (r *Redactor) scan(rule *valueRule, text []byte) []span {
	r.found.text, r.found.rule = text, rule
	rule.scan(&r.found)
	r.found.text = nil
	return r.found.spans
}

// replace writes a text without its matches. Matches that overlap are one, with the
// action of the earliest rule among them: so a short match never saves the rest of a
// longer one. So are matches of one rule without text between them. Each rule counts.
func (r *Redactor) replace(to, text []byte, spans []span) ([]byte, Verdict) {
	for _, s := range spans {
		if s.action == redaction.Drop {
			r.Counts[s.name]++
			return to, Drop
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.from-b.from, b.to-a.to, a.rule-b.rule) })
	copied := 0
	for i := 0; i < len(spans); {
		one := spans[i]
		r.Counts[one.name]++
		for i++; i < len(spans) && (spans[i].from < one.to || spans[i].from == one.to && spans[i].rule == one.rule); i++ {
			s := spans[i]
			if s.rule != one.rule {
				r.Counts[s.name]++
			}
			if one.to = max(one.to, s.to); s.rule < one.rule {
				one.valueRule = s.valueRule
			}
		}
		to = append(to, text[copied:one.from]...)
		copied = one.to
		if one.instead != "" && one.action == redaction.Mask {
			to = append(to, one.instead...)
		} else {
			to = r.appendInstead(to, &one.target, text[one.from:one.to])
		}
	}
	return append(to, text[copied:]...), Changed
}
