package diagnosis

import (
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

var programs = Programs{Kubectl: "kubectl", Novawire: "novawire"}

func at(minute int) time.Time { return time.Date(2026, 11, 26, 10, minute, 0, 0, time.UTC) }

// webhooks is a configuration like the shipped one, of 10:10.
func webhooks(t *testing.T) []admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	var c admissionv1.MutatingWebhookConfiguration
	err := yaml.UnmarshalStrict([]byte(`
metadata: {name: novawire}
webhooks:
- name: pods.inject.nova.dev
  clientConfig: {caBundle: YQ==}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
  namespaceSelector: {matchLabels: {nova.dev/wiring: enabled}}
  objectSelector: {matchExpressions: [{key: nova.dev/wiring, operator: NotIn, values: [disabled]}]}
  matchConditions: [{name: not-a-mirror-pod, expression: "true"}]
`), &c)
	if err != nil {
		t.Fatal(err)
	}
	c.CreationTimestamp = metav1.NewTime(at(10))
	return []admissionv1.MutatingWebhookConfiguration{c}
}

// evidence is about a pod of 10:30 of a Deployment, in a namespace that was labelled at
// 10:20, with everything in order.
func evidence(t *testing.T) Evidence {
	ns := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "nova", Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled},
		ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "kubectl-label", Time: new(metav1.NewTime(at(20))),
			FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:nova.dev/wiring":{}}}}`),
		}},
	}}
	return Evidence{
		Pod:   &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "feed-1", CreationTimestamp: metav1.NewTime(at(30))}},
		Owner: workload.Owner{Kind: "Deployment", Name: "feed"}, Namespace: ns,
		Decision: inject.Decision{Action: inject.Wired, Reason: inject.AsAsked},
		Webhooks: webhooks(t), System: "novawire-system", Trial: &Trial{Wired: true}, Manager: &Manager{Wanted: 2, Ready: 2},
	}
}

func TestWhy(t *testing.T) {
	const restart = "kubectl -n nova rollout restart deployment/feed"
	for name, c := range map[string]struct {
		change   func(*Evidence)
		cause    Cause
		text     string
		commands []string
	}{
		"the webhook did not answer then": {func(*Evidence) {}, Missed, "at 2026-11-26T10:30:00Z", []string{restart}},
		"a system namespace":              {func(e *Evidence) { e.Namespace.Name = "kube-system" }, ExcludedNamespace, "kube-system are never wired", nil},
		"the namespace of the manager":    {func(e *Evidence) { e.Namespace.Name = "novawire-system" }, ExcludedNamespace, "never wired", nil},
		"no webhook":                      {func(e *Evidence) { e.Webhooks = nil }, NoWebhook, "pods.inject.nova.dev", []string{programs.CreateWebhooks(), restart}},
		"no label": {
			func(e *Evidence) { e.Namespace.Labels = nil }, NotOptedIn, "is not labelled nova.dev/wiring=enabled",
			[]string{"kubectl label namespace nova nova.dev/wiring=enabled --overwrite", restart},
		},
		"another value of the label": {func(e *Evidence) { e.Namespace.Labels[injection.LabelWiring] = "true" }, NotOptedIn, "labelled nova.dev/wiring=true, not enabled", nil},
		"opted out": {
			func(e *Evidence) { e.Decision = inject.Decision{Action: inject.Skipped, Reason: inject.OptedOut} }, "opted-out", "labelled nova.dev/wiring: disabled",
			[]string{`kubectl -n nova patch deployment/feed --type=strategic -p '{"spec":{"template":{"metadata":{"labels":{"nova.dev/wiring":null}}}}}'`},
		},
		"a CronJob on the host network": {func(e *Evidence) {
			e.Decision = inject.Decision{Action: inject.Skipped, Reason: inject.HostNetwork}
			e.Owner = workload.Owner{Kind: "CronJob", Name: "report"}
		}, "host-network", "host network", []string{`kubectl -n nova patch cronjob/report --type=strategic -p '{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"hostNetwork":false}}}}}}'`}},
		"a selector of namespaces that somebody changed": {
			func(e *Evidence) { e.Webhooks[0].Webhooks[0].NamespaceSelector.MatchLabels["tier"] = "one" }, NamespaceSelector, "tier=one",
			[]string{programs.ReplaceWebhooks(), restart},
		},
		"a selector of pods that somebody changed": {func(e *Evidence) {
			e.Webhooks[0].Webhooks[0].ObjectSelector.MatchLabels = map[string]string{"tier": "one"}
		}, ObjectSelector, "tier=one", nil},
		"older than the webhook": {func(e *Evidence) { e.Pod.CreationTimestamp = metav1.NewTime(at(5)) }, OlderThanWebhook, "before the webhook configuration novawire (2026-11-26T10:10:00Z)", []string{restart}},
		"older than the label":   {func(e *Evidence) { e.Pod.CreationTimestamp = metav1.NewTime(at(15)) }, OlderThanOptIn, "by kubectl-label", []string{restart}},
		"a pod that is refused":  {func(e *Evidence) { e.Trial = &Trial{Refused: "exceeded quota"} }, Refused, "exceeded quota", nil},
		"a match condition of somebody": {func(e *Evidence) {
			e.Trial = &Trial{}
			w := &e.Webhooks[0].Webhooks[0]
			w.MatchConditions = append(w.MatchConditions, admissionv1.MatchCondition{Name: "mine", Expression: "false"})
		}, MatchCondition, "mine (false)", []string{programs.ReplaceWebhooks(), restart}},
		"no replica is wanted": {
			func(e *Evidence) { e.Trial, e.Manager = &Trial{}, &Manager{} }, NoReplica, "0 wanted",
			[]string{"kubectl -n novawire-system scale deployment/novawire --replicas=2", restart},
		},
		"no replica is ready": {
			func(e *Evidence) { e.Trial, e.Manager = &Trial{}, &Manager{Wanted: 2} }, NoReplica, "2 wanted",
			[]string{"kubectl -n novawire-system rollout restart deployment/novawire", restart},
		},
		"no caBundle": {func(e *Evidence) { e.Trial, e.Webhooks[0].Webhooks[0].ClientConfig.CABundle = &Trial{}, nil }, NoAuthority, "no caBundle", nil},
		"a webhook of others": {func(e *Evidence) {
			e.Trial = &Trial{}
			other := webhooks(t)[0]
			other.Name, other.Webhooks[0].Name = "mesh", "strip.example.com"
			e.Webhooks = append(e.Webhooks, other)
		}, OtherWebhook, "mesh/strip.example.com", nil},
		"a webhook of others for other pods": {func(e *Evidence) {
			e.Trial = &Trial{}
			other := webhooks(t)[0]
			other.Name, other.Webhooks[0].Name = "mesh", "strip.example.com"
			other.Webhooks[0].NamespaceSelector.MatchLabels = map[string]string{"mesh": "on"}
			e.Webhooks = append(e.Webhooks, other)
		}, NoAnswer, "does not answer", []string{"novawire check"}},
		"no right to try": {func(e *Evidence) { e.Trial = &Trial{Unknown: "you may not"} }, NotTried, "you may not", []string{"novawire check", restart}},
		"no right to try, but it is old": {func(e *Evidence) {
			e.Trial, e.Pod.CreationTimestamp = &Trial{Unknown: "you may not"}, metav1.NewTime(at(5))
		}, OlderThanWebhook, "", []string{restart}},
		"a pod of a Job":               {func(e *Evidence) { e.Owner.Kind = "Job" }, Missed, "", nil},
		"a pod of a custom controller": {func(e *Evidence) { e.Owner.Kind = "CloneSet" }, Missed, "", []string{"kubectl -n nova delete pod feed-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := evidence(t)
			c.change(&e)
			got := Why(e, programs)
			if got.Cause != c.cause || !strings.Contains(got.Text, c.text) {
				t.Errorf("%s: %s, want %s with %q", got.Cause, got.Text, c.cause, c.text)
			}
			if c.commands != nil && !slices.Equal(got.Commands, c.commands) {
				t.Errorf("commands %q, want %q", got.Commands, c.commands)
			}
		})
	}
}

func TestPrograms_Flags(t *testing.T) {
	p := Programs{Kubectl: "kubectl --context=a", Novawire: "kubectl novawire", NovawireFlags: " --context=a"}
	const want = "kubectl novawire check webhooks --manifest --context=a | kubectl --context=a replace -f -"
	if got := p.ReplaceWebhooks(); got != want {
		t.Errorf("the command is for another cluster: %s, want %s", got, want)
	}
}
