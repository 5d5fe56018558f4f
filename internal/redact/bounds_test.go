package redact

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/nova/novawire/api/redaction"
)

func rulesOf(t *testing.T, text string) *Rules {
	t.Helper()
	rules, mistakes := redaction.Parse(text)
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	return New(rules, "a key")
}

// What is not redacted one by one behind the first matches is redacted as one, and the
// pattern reads no more than it may.
func TestPattern_ReadsEachByteAFewTimes(t *testing.T) {
	for expression, unit := range map[string]string{
		`token=(\{[^}]*\}|\S+)`:     "token={a ",
		`user=\w+( .* id=\d+)?`:     "user=a ",
		`password=("[^"]*"|\S+)`:    `password="a `,
		`[0-9]`:                     "1,",
		`(?s)a.*z|b`:                "ab",
		`x(?:[^z]*[^y]){0,20}yz|xx`: "xx",
	} {
		t.Run(expression, func(t *testing.T) {
			text := []byte(strings.Repeat(unit, 64<<10/len(unit)))
			p := compile(expression, "")
			m := matches{text: text, rule: &valueRule{}}
			reads := counter{left: readsPerByte * len(text)}
			p.scanRest(&m, 1, &reads)
			if last := m.spans[len(m.spans)-1]; last.to < len(text)-len(unit) {
				t.Errorf("nothing is redacted from %d on, of %d", last.to, len(text))
			}
			if reads.left < -len(m.spans) {
				t.Errorf("it reads on when its count is used up: %d", reads.left)
			}
		})
	}
}

// Behind the matches that are looked for without a count, the same matches are found.
func TestPattern_ManyMatches(t *testing.T) {
	for _, expression := range []string{
		`a`, `\ba`, `\Ba`, `(?m)^a`, `(?m)a$`, `a\z`, `(?i)É`, `\b|a`, `a|ab`, `ab|a`, `a+?`, `\Qa`, `[^ ]+`, `(a)(b)`, `(?U)a+`, `.`,
	} {
		for _, unit := range []string{"a ", "ab", "a\n", "é ", "aé", "\xffa", "aab ", "\xe2\x82a"} {
			text := []byte(strings.Repeat(unit, 2*freeMatches))
			m := matches{text: text, rule: &valueRule{}}
			compile(expression, "").scan(&m)
			var got, want [][]byte
			for _, s := range m.spans {
				got = append(got, text[s.from:s.to])
			}
			for _, at := range regexp.MustCompile(expression).FindAllIndex(text, -1) {
				if at[0] < at[1] {
					want = append(want, text[at[0]:at[1]])
				}
			}
			if !bytes.Equal(bytes.Join(got, []byte("|")), bytes.Join(want, []byte("|"))) {
				t.Errorf("%q in %q: %d matches, want %d", expression, unit, len(got), len(want))
			}
		}
	}
}

// A text of nothing but matches takes a bounded number of them, nothing of it survives, and
// other rules still find what they look for.
func TestRedactor_MatchesAreBounded(t *testing.T) {
	for rules, c := range map[string]struct{ key, unit string }{
		"mask preset sql-literals":                    {"db.query.text", "7,"},
		"mask preset url-queries":                     {"", "/?7 "},
		"mask value [0-9]":                            {"", "7,"},
		"mask preset email; mask preset card-numbers": {"", "a7@b.de "},
		"mask preset card-numbers":                    {"", "4111111111111111,"},
		"mask preset aws-keys":                        {"", "AKIAIOSFODNN7EXAMPLE "},
		"mask preset authorization":                   {"", "bearer 7 "},
		"mask preset cookies":                         {"", "cookie:7\n"},
	} {
		t.Run(rules, func(t *testing.T) {
			r := rulesOf(t, rules).Redactor()
			text := strings.Repeat(c.unit, 4*maxMatches)
			got, _ := r.Value(nil, r.Key([]byte(c.key)), []byte(text))
			if bytes.ContainsRune(got, '7') || bytes.Contains(got, []byte("4111")) {
				t.Error("a match survives")
			}
			if n := len(r.found.spans); n > maxMatches+redaction.MaxRules {
				t.Errorf("%d matches are kept", n)
			}
		})
	}
}

// A rule whose matches come first finds them also where an earlier rule has had too many.
func TestRedactor_ARuleBehindOneWithTooManyMatches(t *testing.T) {
	r := rulesOf(t, "mask value x; mask preset email").Redactor()
	got, _ := r.Value(nil, Key{}, []byte("a@b.de "+strings.Repeat("x,", 2*maxMatches)))
	if bytes.Contains(got, []byte("@")) {
		t.Errorf("the address survives: %.40s", got)
	}
}

// A glob matches what a regular expression with its parts matches.
func TestMatchesGlob(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string, most int) (text string) {
		for range random.IntN(most) {
			text += from[random.IntN(len(from))]
		}
		return text
	}
	for range 50_000 {
		glob, text := pick([]string{"a", "b", "*", "?", "é"}, 8), pick([]string{"a", "b", "é"}, 9)
		expression := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "?", ".").Replace(glob) + "$")
		if got, want := matchesGlob(glob, text), expression.MatchString(text); got != want {
			t.Fatalf("%q matches %q: %v, want %v", glob, text, got, want)
		}
	}
}
