package injection

import (
	"strings"
	"testing"

	"github.com/nova/novawire/api/redaction"
)

// Rules of all layers add up, and a mistake in one says what it leads to among them all.
func TestPolicy_ParseRequest_Redact(t *testing.T) {
	rules := func(n int) string { return strings.Repeat("mask key a\n", n) }
	for name, c := range map[string]struct {
		policy         Policy
		namespace, pod string
		want           string
		refused        []string // parts of the refusals
	}{
		"rules add up": {Policy{}, "mask key a", "drop key b", "mask key a\ndrop key b", nil},
		"a rule with a mistake stays, and is told": {
			Policy{},
			"mask key a", "mask value s3cret(", "mask key a\nmask value s3cret(",
			[]string{"pod annotation inject.nova.dev/redact: rule 1 cannot be read: after value stands a regular expression of RE2; this one is not valid; until it can, the values of all attributes and all texts are masked"},
		},
		"open": {
			Policy{},
			"", "fail open; mask preset mail", "fail open; mask preset mail",
			[]string{"after preset stands one of"},
		},
		"the namespace's closed is stronger than the pod's open": {
			Policy{},
			"fail closed", "fail open; mask preset mail", "fail closed\nfail open; mask preset mail",
			[]string{"until it can, the values"},
		},
		"what is too much together is told": {
			Policy{},
			rules(redaction.MaxRules), "mask key b", rules(redaction.MaxRules) + "\nmask key b",
			[]string{"pod annotation inject.nova.dev/redact: with the rules of the platform and the namespace: rule 17 cannot be read: there are more than 16 rules"},
		},
		"a pod that may not": {
			Policy{Pod: []string{}},
			"mask key a", "mask value s3cret(", "mask key a",
			[]string{"the platform does not let a pod set it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			layers := []Layer{{Source: SourceNamespace}, {Source: SourcePod, Annotations: annotations("redact", c.pod)}}
			if c.namespace != "" {
				layers[0].Annotations = annotations("redact", c.namespace)
			}
			r, refusals := c.policy.ParseRequest(Request{}, layers...)
			if r.Redact != c.want {
				t.Errorf("rules are %q, want %q", r.Redact, c.want)
			}
			if len(refusals) != len(c.refused) {
				t.Fatalf("refusals: %v", refusals)
			}
			for i, refusal := range refusals {
				if text := refusal.Error(); !strings.Contains(text, c.refused[i]) || c.policy.Pod == nil && strings.Contains(text, "s3cret") {
					t.Errorf("refusal is %q, want %q", text, c.refused[i])
				}
			}
		})
	}
}
