// Package diagnosis says why a pod is not wired, and which command mends it. It is pure:
// what it judges is read by the caller.
package diagnosis

import (
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// Webhook is the name of the webhook that wires pods, in its configuration.
const Webhook = "pods.inject.nova.dev"

// Cause is why a pod is not wired. A reason for which the engine skips a pod, such as
// [inject.HostNetwork], is a cause by the same word.
type Cause string

// The causes that the engine does not know: it never saw the pod.
const (
	ExcludedNamespace Cause = "excluded-namespace"
	NotOptedIn        Cause = "namespace-not-labelled"
	NoWebhook         Cause = "webhook-missing"
	NamespaceSelector Cause = "namespace-selector"
	ObjectSelector    Cause = "object-selector"
	WebhookRules      Cause = "webhook-rules"
	MatchCondition    Cause = "match-condition"
	OlderThanWebhook  Cause = "older-than-webhook"
	OlderThanOptIn    Cause = "older-than-opt-in"
	Missed            Cause = "admission-missed"
	NoReplica         Cause = "webhook-without-replica"
	NoAuthority       Cause = "webhook-without-ca"
	NoAnswer          Cause = "webhook-no-answer"
	OtherWebhook      Cause = "other-webhook"
	Refused           Cause = "pod-refused"
	NotTried          Cause = "not-tried"
	OlderThanPolicy   Cause = "older-than-policy"
	PolicyGaveUp      Cause = "policy-gave-up"
)

// Evidence is what is known about a pod that is not wired.
type Evidence struct {
	// Pod is the pod, or one made from the template of a workload, without a creation time.
	Pod       *corev1.Pod
	Owner     workload.Owner
	Namespace *metav1.PartialObjectMetadata
	Decision  inject.Decision // of the engine, about the pod
	Webhooks  []admissionv1.MutatingWebhookConfiguration
	Policies  []admissionv1.MutatingAdmissionPolicy // of novawire policy, with a binding
	System    string                                // the namespace of the installation
	Manager   *Manager                              // nil if it cannot be read
	Trial     *Trial                                // nil if none was made
}

// Manager is the Deployment that answers reviews.
type Manager struct{ Wanted, Ready int32 }

// Trial is the result of a server-side dry run that creates the pod.
type Trial struct {
	Wired   bool
	Refused string // the API server's message, "" if the pod was accepted
	Left    string // what the policy cannot do, "" unless it left the pod alone
	Unknown string // why no dry run was possible, "" if one was
}

// Finding is the cause, in one sentence, and the commands that mend it, in their order.
type Finding struct {
	Cause    Cause    `json:"cause"`
	Text     string   `json:"text"`
	Commands []string `json:"commands,omitempty"`
}

// NeedsTrial reports whether only a dry run can tell the cause.
func NeedsTrial(e Evidence, p Programs) bool {
	_, found := beforeAdmission(e, p)
	return !found
}

// Why returns why a pod is not wired.
func Why(e Evidence, p Programs) Finding {
	if f, found := beforeAdmission(e, p); found {
		return f
	}
	switch _, webhook := find(e.Webhooks); {
	case webhook == nil:
		return byPolicy(e, p)
	case e.Trial == nil || e.Trial.Unknown != "":
		return untried(e, p)
	case e.Trial.Refused != "":
		return Finding{Refused, "the API server refuses such a pod now: " + e.Trial.Refused, nil}
	case e.Trial.Wired:
		return past(e, p)
	}
	return present(e, p)
}

// beforeAdmission finds the causes that are written in objects: the webhook is not called
// for the pod, or skips it.
func beforeAdmission(e Evidence, p Programs) (Finding, bool) {
	name := e.Namespace.Name
	if injection.IsExcluded(name) || name == e.System {
		return Finding{ExcludedNamespace, "pods of the namespace " + name + " are never wired: it runs the cluster or Novawire itself", nil}, true
	}
	configuration, webhook := find(e.Webhooks)
	if webhook == nil && len(e.Policies) == 0 {
		return Finding{NoWebhook, "no MutatingWebhookConfiguration has the webhook " + Webhook + ": the API server asks nobody", p.then(p.CreateWebhooks(), e)}, true
	}
	if got := e.Namespace.Labels[injection.LabelWiring]; got != injection.WiringEnabled {
		text := fmt.Sprintf("the namespace %s is not labelled %s=%s", name, injection.LabelWiring, injection.WiringEnabled)
		if got != "" {
			text = fmt.Sprintf("the namespace %s is labelled %s=%s, not %s", name, injection.LabelWiring, got, injection.WiringEnabled)
		}
		return Finding{NotOptedIn, text, p.then(p.optIn(name), e)}, true
	}
	if e.Decision.Action == inject.Skipped {
		return Finding{Cause(e.Decision.Reason), e.Decision.Reason.Text(), p.unskip(e)}, true
	}
	if webhook == nil {
		return Finding{}, false
	}
	if f, found := unselected(configuration, webhook, e, p); found {
		return f, true
	}
	return Finding{}, false
}

// past explains a pod that would be wired if it were created now.
func past(e Evidence, p Programs) Finding {
	created := e.Pod.CreationTimestamp.Time
	configuration, _ := find(e.Webhooks)
	optedIn, by := labelledAt(e.Namespace)
	restart := p.then("", e)
	switch {
	case created.IsZero():
		return Finding{Missed, "a pod that is created now is wired", restart}
	case created.Before(configuration.CreationTimestamp.Time):
		return Finding{OlderThanWebhook, fmt.Sprintf("the pod was created at %s, before the webhook configuration %s (%s); existing pods are not changed",
			stamp(created), configuration.Name, stamp(configuration.CreationTimestamp.Time)), restart}
	case created.Before(optedIn):
		return Finding{OlderThanOptIn, fmt.Sprintf("the pod was created at %s, before its namespace was last labelled (%s, by %s); existing pods are not changed",
			stamp(created), stamp(optedIn), by), restart}
	}
	return Finding{Missed, fmt.Sprintf("the webhook did not answer when the pod was created at %s, or did not select it; it answers now", stamp(created)), restart}
}

// present explains a pod that would not be wired now either, although the selectors match.
func present(e Evidence, p Programs) Finding {
	configuration, webhook := find(e.Webhooks)
	if extra := foreignConditions(webhook); len(extra) > 0 {
		return Finding{
			MatchCondition, fmt.Sprintf("%s has match conditions that are not shipped: %s; they leave the pod out", configuration.Name, strings.Join(extra, ", ")),
			p.then(p.ReplaceWebhooks(), e),
		}
	}
	if m := e.Manager; m != nil && m.Ready == 0 {
		text := fmt.Sprintf("the webhook has no ready replica (%d wanted), so pods start without wiring", m.Wanted)
		command := p.kubectl("-n %s rollout restart deployment/novawire", e.System)
		if m.Wanted == 0 {
			command = p.kubectl("-n %s scale deployment/novawire --replicas=2", e.System)
		}
		return Finding{NoReplica, text, p.then(command, e)}
	}
	if len(webhook.ClientConfig.CABundle) == 0 {
		return Finding{
			NoAuthority, "the webhook configuration " + configuration.Name + " has no caBundle, so the API server trusts no replica; the manager publishes it when it runs",
			p.then(p.kubectl("-n %s rollout restart deployment/novawire", e.System), e),
		}
	}
	if others := otherWebhooks(e); len(others) > 0 {
		return Finding{
			OtherWebhook, "the webhook does not answer, or another webhook undoes its changes; these review the pod too: " + strings.Join(others, ", "),
			[]string{p.novawire("check")},
		}
	}
	return Finding{NoAnswer, "the webhook does not answer the API server (certificate, network policy, firewall to port 10250)", []string{p.novawire("check")}}
}

// untried explains what is known without a dry run.
func untried(e Evidence, p Programs) Finding {
	f := past(e, p)
	if f.Cause != Missed {
		return f
	}
	reason := "no dry run was made"
	if e.Trial != nil {
		reason = "a dry run is not possible: " + e.Trial.Unknown
	}
	return Finding{
		NotTried, "the webhook did not answer when the pod was created, or another webhook undid its changes; whether a new pod is wired is unknown: " + reason,
		append([]string{p.novawire("check")}, f.Commands...),
	}
}

// labelledAt returns when the namespace got its label and who set it. The API server
// keeps the time of the last change of each field manager only, so the label can be older.
func labelledAt(ns *metav1.PartialObjectMetadata) (at time.Time, by string) {
	for _, entry := range ns.ManagedFields {
		if entry.FieldsV1 == nil || entry.Time == nil || !strings.Contains(entry.FieldsV1.GetRawString(), `"f:`+injection.LabelWiring+`"`) {
			continue
		}
		if entry.Time.After(at) {
			at, by = entry.Time.Time, entry.Manager
		}
	}
	return at, by
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
