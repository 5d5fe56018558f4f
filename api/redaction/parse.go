package redaction

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/nova/novawire/internal/validate"
)

// Form describes the form of the rules in a few words.
const Form = "rules such as `mask preset email` or `drop key *password`, separated by `;` or new lines"

// Parse reads rules. Each stands on a line of its own or ends at a semicolon:
//
//	mask preset authorization
//	logins: hash key user*
//	drop value ACCT-[0-9]{8}
//	fail closed
//
// A mistake names the rule by its number and never repeats it: a pattern may hold a
// secret. What cannot be read is masked as far as it might reach, or ignored if the rules
// say "fail open" and none says "fail closed".
func Parse(text string) (Rules, []error) {
	p := parser{}
	if len(text) > MaxText {
		p.mistake(0, Value, fmt.Sprintf("the rules are longer than %d bytes together", MaxText))
		text = ""
	}
	n := 0
	for statement := range statements(text) {
		if words := strings.Fields(statement); words[0] == "fail" {
			p.fail(words[1:])
			continue
		}
		n++
		p.rule(n, statement)
	}
	if p.open && !p.closed {
		p.rules.AllKeys, p.rules.AllTexts = false, false
	}
	return p.rules, p.mistakes
}

// statements yields what stands on lines of its own or ends at a semicolon. A comment goes to the
// end of its line, also over semicolons: what was a rule once must not be one again.
func statements(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == '\n' || c == '\r' }) {
			for more := true; more; {
				var statement string
				statement, line, more = strings.Cut(line, ";")
				statement = strings.TrimSpace(statement)
				if strings.HasPrefix(statement, "#") {
					break
				}
				if statement != "" && !yield(statement) {
					return
				}
			}
		}
	}
}

// Mistakes returns what is wrong with rules, and what that leads to. joined are the rules that
// they are part of, which may say whether a mistake is closed or open.
func Mistakes(text, joined string) (all []string) {
	_, mistakes := Parse(text)
	rules, _ := Parse(joined)
	for _, mistake := range mistakes {
		if problem := mistake.Error(); errors.Is(mistake, errFail) {
			all = append(all, problem)
		} else {
			all = append(all, problem+rules.consequence())
		}
	}
	return all
}

var errFail = errors.New(`after "fail" stands open or closed; closed is used`)

// consequence says what a rule that cannot be read leads to.
func (r Rules) consequence() string {
	switch {
	case r.AllTexts:
		return "; until it can, the values of all attributes and all texts are masked"
	case r.AllKeys:
		return "; until it can, the values of all attributes are masked"
	}
	return "; it is ignored"
}

type parser struct {
	rules        Rules
	mistakes     []error
	open, closed bool
}

// mistake reports a rule that cannot be read; number 0 stands for all rules.
func (p *parser) mistake(number int, kind Kind, problem string) {
	if number > 0 {
		problem = fmt.Sprintf("rule %d cannot be read: %s", number, problem)
	}
	p.mistakes = append(p.mistakes, errors.New(problem))
	if kind == Key {
		p.rules.AllKeys = true
	} else {
		p.rules.AllTexts = true
	}
}

// fail reads what follows "fail". A word that cannot be read is taken for closed, which is
// stronger than an "open" elsewhere.
func (p *parser) fail(words []string) {
	switch {
	case len(words) == 1 && words[0] == "open":
		p.open = true
	case len(words) == 1 && words[0] == "closed":
		p.closed = true
	default:
		p.closed = true
		p.mistakes = append(p.mistakes, errFail)
	}
}

func (p *parser) rule(number int, statement string) {
	r := Rule{Name: fmt.Sprintf("rule-%d", number)}
	named := false
	if before, rest, ok := strings.Cut(statement, ": "); ok && !strings.ContainsAny(before, " \t") {
		if !isName(before) {
			p.mistake(number, kindOf(rest), fmt.Sprintf("its name is not 1 to %d of a-z, 0-9, - and _, or is reserved", MaxName))
			return
		}
		r.Name, statement, named = before, strings.TrimSpace(rest), true
	}
	action, rest := cutWord(statement)
	kind, argument := cutWord(rest)
	r.Action, r.Kind, r.Argument = Action(action), Kind(kind), argument
	if problem := r.problem(); problem != "" {
		p.mistake(number, r.Kind, problem)
		return
	}
	if len(p.rules.List) == MaxRules {
		p.mistake(number, r.Kind, fmt.Sprintf("there are more than %d rules", MaxRules))
		return
	}
	if r.Kind == Preset && !named {
		r.Name = r.Argument
	}
	p.rules.List = append(p.rules.List, r)
}

// kindOf returns the kind of a rule whose name cannot be read.
func kindOf(statement string) Kind {
	_, rest := cutWord(strings.TrimSpace(statement))
	kind, _ := cutWord(rest)
	return Kind(kind)
}

func cutWord(text string) (word, rest string) {
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		return text, ""
	}
	return text[:end], strings.TrimSpace(text[end:])
}

// IsCountName reports whether redactions may be counted under a name: that of a rule, or
// [Unreadable].
func IsCountName(name string) bool {
	return name != "" && len(name) <= MaxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func isName(name string) bool { return IsCountName(name) && name != Unreadable }

// problem says why a rule cannot be read, or "".
func (r Rule) problem() string {
	switch r.Action {
	case Mask, Hash, Drop:
	default:
		return "it begins with mask, hash or drop"
	}
	if len(r.Argument) > maxArgument {
		return fmt.Sprintf("it is longer than %d bytes", maxArgument)
	}
	switch r.Kind {
	case Key:
		if r.Argument == "" || strings.ContainsAny(r.Argument, " \t") {
			return "after key stands a glob such as *password, without spaces"
		}
	case Value:
		return patternProblem(r.Argument)
	case Preset:
		if !slices.Contains(presets, r.Argument) {
			problem := "after preset stands one of " + strings.Join(presets, ", ")
			if nearest := validate.Nearest(r.Argument, presets); nearest != "" {
				problem += "; did you mean " + nearest + "?"
			}
			return problem
		}
	default:
		return "after the action stands key, value or preset"
	}
	return ""
}

// maxPattern bounds a compiled pattern, in instructions of RE2's machine, which is also
// what a byte of text costs at most.
const maxPattern = 1000

func patternProblem(pattern string) string {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "after value stands a regular expression of RE2; this one is not valid"
	}
	if cost(parsed) > maxPattern {
		return fmt.Sprintf("its regular expression is too large: %d states at most, and a repetition {n} counts n times", maxPattern)
	}
	if regexp.MustCompile(pattern).MatchString("") {
		return "its regular expression matches the empty text, so it would match everywhere"
	}
	return ""
}

// cost estimates the instructions of a pattern before it is compiled: repetitions are
// written out.
func cost(r *syntax.Regexp) int {
	n := 1
	if r.Op == syntax.OpLiteral {
		n = len(r.Rune)
	}
	for _, sub := range r.Sub {
		n += cost(sub)
	}
	if r.Op == syntax.OpRepeat {
		n *= max(r.Min, r.Max, 1)
	}
	return min(n, 2*maxPattern)
}
