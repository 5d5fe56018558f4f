package main

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/nova/novawire/webhook/policy"
)

// checkPolicies compares the policies, and the configuration in them, with the cluster's
// configuration, or with that of --config.
func (c *checker) checkPolicies(policies []admissionv1.MutatingAdmissionPolicy) {
	if len(policies) == 0 {
		return
	}
	apply := c.programs.Novawire + " policy --config config.yaml | " + c.programs.Kubectl + " apply --server-side -f -"
	missing := policy.Names(c.in.engine)
	for i := range policies {
		p := &policies[i]
		what := "MutatingAdmissionPolicy " + p.Name
		namespace, isWanted := missing[p.Name]
		delete(missing, p.Name)
		wanted := c.in.engine.HashIn(namespace)
		has := func(v admissionv1.Variable) bool { return strings.Contains(v.Expression, `"config":"`+wanted+`"`) }
		switch {
		case isWanted && slices.ContainsFunc(p.Spec.Variables, has):
			c.ok("%s has the configuration %s", what, wanted)
		case c.in.from == "defaults":
			c.warn("", "%s: whether it has the present configuration is unknown: name the file with --config", what)
		case !isWanted:
			c.fail(c.programs.Kubectl+" delete mutatingadmissionpolicy,mutatingadmissionpolicybinding "+p.Name,
				"%s belongs to no namespace with a configuration of its own in %s: its pods are wired as before the change", what, c.in.from)
		default:
			c.fail(apply, "%s has another configuration than %s, from %s: new pods are wired as before the change", what, wanted, c.in.from)
		}
	}
	if c.in.from == "defaults" {
		return
	}
	for _, name := range sortedKeys(missing, strings.Compare) {
		if namespace := missing[name]; namespace != "" {
			c.fail(apply, "MutatingAdmissionPolicy %s is missing: pods of the namespace %s are wired with another configuration", name, namespace)
		} else {
			c.fail(apply, "MutatingAdmissionPolicy %s is missing: pods are wired in namespaces with a configuration of their own alone", name)
		}
	}
}
