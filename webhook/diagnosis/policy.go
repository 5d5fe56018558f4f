package diagnosis

import (
	"fmt"

	"github.com/nova/novawire/webhook/inject"
)

// LeftByPolicy explains a pod that the policy has left alone, for what it cannot do.
func LeftByPolicy(features string) Finding {
	return Finding{Cause(inject.LeftByPolicy), "the pod " + inject.LeftByPolicy.Text() + ": " + features, nil}
}

// byPolicy explains a pod of a cluster whose pods are wired by a policy alone.
func byPolicy(e Evidence, p Programs) Finding {
	policy, created := e.Policies[0], e.Pod.CreationTimestamp.Time
	optedIn, by := labelledAt(e.Namespace)
	restart := p.then("", e)
	switch t := e.Trial; {
	case t != nil && t.Refused != "":
		return Finding{Refused, "the API server refuses such a pod now: " + t.Refused, nil}
	case t != nil && t.Left != "":
		return LeftByPolicy(t.Left)
	case !created.IsZero() && created.Before(policy.CreationTimestamp.Time):
		return Finding{OlderThanPolicy, fmt.Sprintf("the pod was created at %s, before the MutatingAdmissionPolicy %s (%s); existing pods are not changed",
			stamp(created), policy.Name, stamp(policy.CreationTimestamp.Time)), restart}
	case !created.IsZero() && created.Before(optedIn):
		return Finding{OlderThanOptIn, fmt.Sprintf("the pod was created at %s, before its namespace was last labelled (%s, by %s); existing pods are not changed",
			stamp(created), stamp(optedIn), by), restart}
	case t != nil && t.Wired:
		return Finding{Missed, "a pod that is created now is wired by the MutatingAdmissionPolicy " + policy.Name, restart}
	case t == nil || t.Unknown != "":
		return Finding{NotTried, "the MutatingAdmissionPolicy " + policy.Name + " did not wire the pod, and whether it wires a new one is unknown: no dry run was possible", restart}
	}
	return Finding{PolicyGaveUp, "the MutatingAdmissionPolicy " + policy.Name + " does not wire the pod: its binding does not select the namespace, or an error or the limit of " +
		"cost leaves the pod as it is (apiserver_mutating_admission_policy_check_total)", nil}
}
