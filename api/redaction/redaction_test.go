package redaction_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api/redaction"
)

func TestParse(t *testing.T) {
	cases := map[string]struct {
		text string
		want []redaction.Rule
	}{
		"a rule on each line": {
			"mask preset email\n\n  hash  key  user.* \ndrop value ACCT-[0-9]{8}\n",
			[]redaction.Rule{
				{Name: "email", Action: "mask", Kind: "preset", Argument: "email"},
				{Name: "rule-2", Action: "hash", Kind: "key", Argument: "user.*"},
				{Name: "rule-3", Action: "drop", Kind: "value", Argument: "ACCT-[0-9]{8}"},
			},
		},
		"semicolons, and a comment": {
			"mask preset cookies; # ours\n drop key *.password",
			[]redaction.Rule{
				{Name: "cookies", Action: "mask", Kind: "preset", Argument: "cookies"},
				{Name: "rule-2", Action: "drop", Kind: "key", Argument: "*.password"},
			},
		},
		"a pattern keeps its spaces and colons": {
			"names: mask value name: [A-Z]+ [A-Z]+",
			[]redaction.Rule{{Name: "names", Action: "mask", Kind: "value", Argument: "name: [A-Z]+ [A-Z]+"}},
		},
		"a comment goes on behind a semicolon": {
			"# old rules; fail open; mask key *\nmask key a; # and; mask key b\n;mask key c",
			[]redaction.Rule{
				{Name: "rule-1", Action: "mask", Kind: "key", Argument: "a"},
				{Name: "rule-2", Action: "mask", Kind: "key", Argument: "c"},
			},
		},
		"nothing": {" \n;;", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, mistakes := redaction.Parse(c.text)
			if len(mistakes) > 0 {
				t.Errorf("mistakes: %v", mistakes)
			}
			if diff := cmp.Diff(redaction.Rules{List: c.want}, got); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse_Presets(t *testing.T) {
	for _, preset := range redaction.Presets() {
		if got, mistakes := redaction.Parse("drop preset " + preset); len(mistakes) > 0 || len(got.List) != 1 || got.List[0].Name != preset {
			t.Errorf("%s: %v %v", preset, got, mistakes)
		}
		if len(preset) > redaction.MaxName {
			t.Errorf("%s: the name of a count is longer than %d", preset, redaction.MaxName)
		}
	}
}

// Whoever misspells "closed" is told that closed is used, and it is.
func TestParse_AWordThatCannotBeReadIsClosed(t *testing.T) {
	got, mistakes := redaction.Parse("fail open; fail closd; maks key secret")
	if len(mistakes) != 2 || !got.AllKeys {
		t.Errorf("all keys %v, mistakes %q", got.AllKeys, mistakes)
	}
}

// What a comment holds does not switch the rules off.
func TestParse_ACommentDoesNotOpen(t *testing.T) {
	if got, mistakes := redaction.Parse("# old rules; fail open\nmaks key secret"); len(mistakes) != 1 || !got.AllKeys {
		t.Errorf("all keys %v, mistakes %q", got.AllKeys, mistakes)
	}
}

// What a rule that cannot be read leads to: as much as it might have meant is masked.
func TestParse_Unreadable(t *testing.T) {
	many := strings.Repeat("mask key a;", redaction.MaxRules)
	cases := map[string]struct {
		text, mistake     string
		allKeys, allTexts bool
	}{
		"a wrong action":                       {"maks value secret", "rule 1 cannot be read: it begins with mask, hash or drop", false, true},
		"a wrong action, for a key":            {"maks key secret", "rule 1 cannot be read: it begins with", true, false},
		"a wrong kind":                         {"mask keys secret", "after the action stands key, value or preset", false, true},
		"a wrong preset":                       {"mask preset emails", "did you mean email?", false, true},
		"a wrong pattern":                      {"mask value secret(", "this one is not valid", false, true},
		"a pattern that matches everywhere":    {"mask value secret*|x*", "matches the empty text", false, true},
		"a pattern that would take memory":     {"mask value ((a{10}){10}){5}b{600}", "too large", false, true},
		"a pattern of large classes":           {`mask value (\pL{50}){10}\w{501}`, "too large", false, true},
		"a glob that is missing":               {"drop key", "after key stands a glob", true, false},
		"two globs":                            {"drop key secret other", "without spaces", true, false},
		"a wrong name":                         {"A.B: drop key secret", "its name is not", true, false},
		"a reserved name":                      {"unreadable: drop key secret", "is reserved", true, false},
		"a rule too many":                      {many + "mask key secret", "there are more than 16 rules", true, false},
		"a long argument":                      {"mask value secret" + strings.Repeat("x", 600), "longer than 512 bytes", false, true},
		"rules that are too long":              {strings.Repeat("# secret\n", 600), "longer than 4096 bytes", false, true},
		"it is ignored where it is said":       {"fail open; mask value secret(", "rule 1 cannot be read", false, false},
		"closed is stronger than open":         {"fail open; mask value secret(; fail closed", "rule 1 cannot be read", false, true},
		"the number of a rule is its place":    {"mask key a; fail closed; mask key b; maks key secret", "rule 3 cannot be read", true, false},
		"fail says neither, and no rule fails": {"fail secret; mask key a", "stands open or closed", false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, mistakes := redaction.Parse(c.text)
			if len(mistakes) != 1 || !strings.Contains(mistakes[0].Error(), c.mistake) {
				t.Fatalf("mistakes are %q, want one with %q", mistakes, c.mistake)
			}
			if strings.Contains(fmt.Sprint(mistakes), "secret") {
				t.Errorf("the mistake repeats the rule: %v", mistakes)
			}
			if got.AllKeys != c.allKeys || got.AllTexts != c.allTexts {
				t.Errorf("all keys %v, all texts %v; want %v, %v", got.AllKeys, got.AllTexts, c.allKeys, c.allTexts)
			}
		})
	}
}

func TestRules_Names(t *testing.T) {
	rules, _ := redaction.Parse("a: mask key x; a: mask key y; mask preset email; maks key z")
	if diff := cmp.Diff([]string{"a", "email", redaction.Unreadable}, rules.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestJoin(t *testing.T) {
	if got := redaction.Join("mask key a", " ", "drop key b"); got != "mask key a\ndrop key b" {
		t.Errorf("joined to %q", got)
	}
}
