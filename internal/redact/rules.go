// Package redact masks, hashes or drops secrets in texts, by the rules of
// api/redaction: for the sidecar, which meets them in OTLP, and for the Fluent Bit
// plugin, which meets them in lines. It takes time in proportion to the text, whatever
// the text is: a table says which rules may match, and those read it once, patterns a few
// times. The memory that it takes beside the text is bounded.
//
// It knows texts, keys and JSON. What holds them is the caller's.
package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"slices"

	"github.com/nova/novawire/api/redaction"
)

// Masked stands in the place of what was masked.
const Masked = "[redacted]"

// Rules are compiled rules. They may be shared.
type Rules struct {
	names  []string // of the counts
	keys   []keyRule
	values []valueRule
	sql    *valueRule // scans the values of its keys alone
	url    *valueRule // as sql
	class  [256]uint64

	allKeys, allTexts *target
	drops             bool // a rule for values drops
	hashKey           []byte
	seed              maphash.Seed
}

// target says what becomes of a match, and under which name it is counted.
type target struct {
	rule   int // the earlier rule wins where matches overlap
	name   int // index of its count
	action redaction.Action
}

// New compiles rules, or returns nil if they redact nothing. Without a key of hashes,
// rules that hash mask instead.
func New(set redaction.Rules, hashKey string) *Rules {
	if set.Empty() {
		return nil
	}
	r := &Rules{names: set.Names(), hashKey: []byte(hashKey), seed: maphash.MakeSeed()}
	for i, rule := range set.List {
		r.drops = r.drops || rule.Action == redaction.Drop && rule.Kind != redaction.Key
		t := target{rule: i, name: slices.Index(r.names, rule.Name), action: rule.Action}
		if t.action == redaction.Hash && hashKey == "" {
			t.action = redaction.Mask
		}
		switch rule.Kind {
		case redaction.Key:
			r.keys = append(r.keys, keyRule{target: t, glob: lower(rule.Argument)})
		case redaction.Value:
			r.values = append(r.values, newPattern(t, rule.Argument))
		case redaction.Preset:
			r.addPreset(t, rule.Argument)
		}
	}
	unreadable := &target{rule: len(set.List), name: len(r.names) - 1, action: redaction.Mask}
	if set.AllKeys || set.AllTexts {
		r.allKeys = unreadable
	}
	if set.AllTexts {
		r.allTexts = unreadable
	}
	r.classify()
	return r
}

// Names returns the names of the counts, in their order.
func (r *Rules) Names() []string {
	if r == nil {
		return nil
	}
	return r.names
}

// MarshalYAML shows the names alone: a pattern may hold a secret.
func (r *Rules) MarshalYAML() (any, error) { return r.Names(), nil }

// Counts are how often each name of [Rules.Names] has redacted.
type Counts [redaction.MaxNames]int

// Add adds other counts.
func (c *Counts) Add(other Counts) {
	for i, n := range other {
		c[i] += n
	}
}

// Redactor redacts one text after the other. It is not for concurrent use.
type Redactor struct {
	*Rules
	Counts Counts // since the caller has cleared them

	found   matches
	parts   int // of JSON, that are redacted
	scratch []byte
	decided [256]decided
}

// Redactor returns a redactor with these rules, or nil without rules.
func (r *Rules) Redactor() *Redactor {
	if r == nil {
		return nil
	}
	return &Redactor{Rules: r}
}

// hashed begins what stands in the place of what was hashed: 64 bits in hexadecimal,
// which tell equal values as equal and nothing else without the key.
const hashed = "hmac:"

// appendInstead appends what stands in the place of a content.
func (r *Redactor) appendInstead(to []byte, t *target, content []byte) []byte {
	if t.action != redaction.Hash {
		return append(to, Masked...)
	}
	sum := hmac.New(sha256.New, r.hashKey)
	sum.Write(content)
	return hex.AppendEncode(append(to, hashed...), sum.Sum(nil)[:8])
}
