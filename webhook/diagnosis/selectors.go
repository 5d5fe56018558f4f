package diagnosis

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// shippedCondition is the only match condition of manifests/base/webhooks.yaml.
const shippedCondition = "not-a-mirror-pod"

// find returns the webhook that wires pods, and its configuration.
func find(all []admissionv1.MutatingWebhookConfiguration) (*admissionv1.MutatingWebhookConfiguration, *admissionv1.MutatingWebhook) {
	for i := range all {
		for j := range all[i].Webhooks {
			if all[i].Webhooks[j].Name == Webhook {
				return &all[i], &all[i].Webhooks[j]
			}
		}
	}
	return nil, nil
}

// unselected explains a webhook whose selectors or rules leave the pod out. Those that
// are shipped do not, so somebody has changed them.
func unselected(configuration *admissionv1.MutatingWebhookConfiguration, webhook *admissionv1.MutatingWebhook, e Evidence, p Programs) (Finding, bool) {
	mend := p.then(p.ReplaceWebhooks(), e)
	if failed := mismatch(webhook.NamespaceSelector, e.Namespace.Labels); failed != "" {
		return Finding{NamespaceSelector, fmt.Sprintf("the namespaceSelector of %s leaves the namespace %s out: %s", configuration.Name, e.Namespace.Name, failed), mend}, true
	}
	if failed := mismatch(webhook.ObjectSelector, e.Pod.Labels); failed != "" {
		return Finding{ObjectSelector, fmt.Sprintf("the objectSelector of %s leaves the pod out: %s", configuration.Name, failed), mend}, true
	}
	if !slices.ContainsFunc(webhook.Rules, createsPods) {
		return Finding{WebhookRules, "the rules of " + configuration.Name + " do not have the creation of pods", mend}, true
	}
	return Finding{}, false
}

// mismatch returns the first requirement of a selector that the labels do not meet, or "".
func mismatch(selector *metav1.LabelSelector, of map[string]string) string {
	if selector == nil {
		return ""
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return err.Error()
	}
	requirements, _ := parsed.Requirements()
	for _, r := range requirements {
		if !r.Matches(labels.Set(of)) {
			return r.String()
		}
	}
	return ""
}

// createsPods reports whether a rule has the creation of pods.
func createsPods(r admissionv1.RuleWithOperations) bool {
	has := func(values []string, wanted string) bool {
		return slices.Contains(values, wanted) || slices.Contains(values, "*")
	}
	operation := slices.Contains(r.Operations, admissionv1.Create) || slices.Contains(r.Operations, admissionv1.OperationAll)
	return operation && has(r.APIGroups, "") && has(r.APIVersions, "v1") && (has(r.Resources, "pods") || slices.Contains(r.Resources, "*/*"))
}

// foreignConditions returns the names of match conditions that are not shipped.
func foreignConditions(webhook *admissionv1.MutatingWebhook) (names []string) {
	for _, c := range webhook.MatchConditions {
		if c.Name != shippedCondition {
			names = append(names, c.Name+" ("+strings.Join(strings.Fields(c.Expression), " ")+")")
		}
	}
	return names
}

// otherWebhooks returns the webhooks of others that change such a pod too.
func otherWebhooks(e Evidence) (names []string) {
	for _, c := range e.Webhooks {
		for _, w := range c.Webhooks {
			if w.Name != Webhook && slices.ContainsFunc(w.Rules, createsPods) &&
				mismatch(w.NamespaceSelector, e.Namespace.Labels) == "" && mismatch(w.ObjectSelector, e.Pod.Labels) == "" {
				names = append(names, c.Name+"/"+w.Name)
			}
		}
	}
	return names
}
