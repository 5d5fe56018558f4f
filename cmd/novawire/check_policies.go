package main

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/nova/novawire/webhook/policy"
)

// checkPolicies compares the configuration in the policies with the cluster's, or with that of --config.
func (c *checker) checkPolicies(policies []admissionv1.MutatingAdmissionPolicy) {
	for i := range policies {
		p := &policies[i]
		what := "MutatingAdmissionPolicy " + p.Name
		wanted := c.in.engine.HashIn(strings.TrimPrefix(strings.TrimPrefix(p.Name, policy.Name), "-"))
		has := func(v admissionv1.Variable) bool { return strings.Contains(v.Expression, `"config":"`+wanted+`"`) }
		switch {
		case slices.ContainsFunc(p.Spec.Variables, has):
			c.ok("%s has the configuration %s", what, wanted)
		case c.in.from == "defaults":
			c.warn("", "%s: whether it has the present configuration is unknown: name the file with --config", what)
		default:
			c.fail(c.programs.Novawire+" policy --config config.yaml | "+c.programs.Kubectl+" apply --server-side -f -",
				"%s has another configuration than %s, from %s: new pods are wired as before the change", what, wanted, c.in.from)
		}
	}
}
