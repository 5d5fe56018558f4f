package diagnosis

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWhy_Policy is about a cluster whose pods are wired by a policy of 10:15, without a webhook.
func TestWhy_Policy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Evidence)
		cause  Cause
		text   string
		mend   bool
	}{
		"the pod is older than the policy":        {func(e *Evidence) { e.Pod.CreationTimestamp = metav1.NewTime(at(14)) }, OlderThanPolicy, "before the MutatingAdmissionPolicy novawire (2026-11-26T10:15:00Z)", true},
		"the pod is older than the label":         {func(e *Evidence) { e.Pod.CreationTimestamp = metav1.NewTime(at(19)) }, OlderThanOptIn, "by kubectl-label", true},
		"a new pod is wired":                      {func(*Evidence) {}, Missed, "is wired by the MutatingAdmissionPolicy novawire", true},
		"the policy cannot do what the pod needs": {func(e *Evidence) { e.Trial = &Trial{Left: "port-taken"} }, "left-by-policy", "docs/policy.md): port-taken", false},
		"the API server refuses the pod":          {func(e *Evidence) { e.Trial = &Trial{Refused: "quota"} }, Refused, "quota", false},
		"no dry run was possible":                 {func(e *Evidence) { e.Trial = &Trial{Unknown: "no right"} }, NotTried, "no dry run", true},
		"the policy does not change a new pod":    {func(e *Evidence) { e.Trial = &Trial{} }, PolicyGaveUp, "limit of cost", false},
		"no policy is there either":               {func(e *Evidence) { e.Policies = nil }, NoWebhook, "asks nobody", true},
		"the namespace did not opt in":            {func(e *Evidence) { e.Namespace.Labels = nil }, NotOptedIn, "is not labelled", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := evidence(t)
			e.Webhooks = nil
			e.Policies = []admissionv1.MutatingAdmissionPolicy{{ObjectMeta: metav1.ObjectMeta{Name: "novawire", CreationTimestamp: metav1.NewTime(at(15))}}}
			c.change(&e)
			got := Why(e, programs)
			if got.Cause != c.cause || !strings.Contains(got.Text, c.text) || len(got.Commands) > 0 != c.mend {
				t.Errorf("got %+v", got)
			}
		})
	}
}
