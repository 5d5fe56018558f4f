// Package redaction is the contract of redaction: how rules are written, for the
// sidecar and for the Fluent Bit plugin, and what is wrong with those that cannot be
// read. It matches nothing.
package redaction

import (
	"slices"
	"strings"
)

// Action says what becomes of what a rule matches.
type Action string

// The actions.
const (
	Mask Action = "mask" // [redacted] stands in its place
	Hash Action = "hash" // a keyed hash stands in its place
	Drop Action = "drop" // the attribute that holds it is removed
)

// Kind says what a rule looks at.
type Kind string

// The kinds.
const (
	Key    Kind = "key"    // the argument is a glob over keys; the value of the key is redacted
	Value  Kind = "value"  // the argument is a regular expression over texts
	Preset Kind = "preset" // the argument names one of [Presets]
)

// The presets.
const (
	Authorization = "authorization" // credentials of Authorization headers
	Cookies       = "cookies"       // Cookie and Set-Cookie headers
	Email         = "email"         // e-mail addresses
	CardNumbers   = "card-numbers"  // numbers of payment cards, checked with Luhn's digit
	AWSKeys       = "aws-keys"      // access key ids, and named secret keys and session tokens
	PrivateKeys   = "private-keys"  // private keys in PEM
	SQLLiterals   = "sql-literals"  // literals in db.query.text and db.statement
	URLQueries    = "url-queries"   // query strings of URLs
)

// Presets lists the presets in the order of the documentation.
func Presets() []string { return slices.Clone(presets) }

var presets = []string{Authorization, Cookies, Email, CardNumbers, AWSKeys, PrivateKeys, SQLLiterals, URLQueries}

// The bounds of a set of rules. Every rule is a label of metrics and a member of the
// sidecar's ledger, which a termination message of 4,096 bytes must hold.
const (
	MaxRules    = 16
	MaxNames    = MaxRules + 1 // and Unreadable
	MaxName     = 24
	MaxText     = 4096 // bytes of all rules together
	maxArgument = 512
)

// Unreadable is the name under which everything is counted that is redacted because a
// rule cannot be read.
const Unreadable = "unreadable"

// Rule is one rule.
type Rule struct {
	Name     string // of its count: as written, else the preset's, else rule-1, rule-2, …
	Action   Action
	Kind     Kind
	Argument string
}

// Rules is a set of rules, and what a rule that cannot be read leads to.
type Rules struct {
	List []Rule
	// AllKeys says that the value of every key is masked: a rule for a key cannot be read.
	AllKeys bool
	// AllTexts says that, beside these, every text that is no name is masked: another rule
	// cannot be read.
	AllTexts bool
}

// Empty reports whether nothing is redacted.
func (r Rules) Empty() bool { return len(r.List) == 0 && !r.AllKeys && !r.AllTexts }

// Hashes reports whether a rule needs the key of hashes.
func (r Rules) Hashes() bool {
	return slices.ContainsFunc(r.List, func(rule Rule) bool { return rule.Action == Hash })
}

// Names returns the names under which redactions are counted.
func (r Rules) Names() []string {
	names := make([]string, 0, len(r.List)+1)
	for _, rule := range r.List {
		if !slices.Contains(names, rule.Name) {
			names = append(names, rule.Name)
		}
	}
	if r.AllKeys || r.AllTexts {
		names = append(names, Unreadable)
	}
	return names
}

// Join puts rules of several sources together, those of the platform first. Rules add
// up: none takes back another.
func Join(texts ...string) string {
	texts = slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return strings.TrimSpace(s) == "" })
	return strings.Join(texts, "\n")
}
