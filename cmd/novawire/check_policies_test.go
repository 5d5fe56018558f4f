package main

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/webhook/diagnosis"
	"github.com/nova/novawire/webhook/inject"
)

func TestChecker_Policies(t *testing.T) {
	config := inject.DefaultConfig()
	config.Namespaces = map[string]inject.NamespaceConfig{"staging": {DeploymentEnvironment: "staging"}}
	engine, err := inject.New(config)
	must(t, err)
	of := func(name, hash string) admissionv1.MutatingAdmissionPolicy {
		p := admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		p.Spec.Variables = []admissionv1.Variable{{Expression: `'{"config":"` + hash + `"}'`}}
		return p
	}
	all, staging := of("novawire", engine.Hash()), of("novawire-staging", engine.HashIn("staging"))
	const apply, remove = "novawire policy --config config.yaml | kubectl apply", "kubectl delete mutatingadmissionpolicy,mutatingadmissionpolicybinding novawire-old"
	for name, c := range map[string]struct {
		from      string
		policies  []admissionv1.MutatingAdmissionPolicy
		want, fix string // of the finding that is not ok; "" for none
	}{
		"there are no policies":              {"file c", nil, "", ""},
		"all are there":                      {"file c", []admissionv1.MutatingAdmissionPolicy{all, staging}, "", ""},
		"one has another configuration":      {"file c", []admissionv1.MutatingAdmissionPolicy{all, of("novawire-staging", "x")}, "novawire-staging has another configuration than", apply},
		"one is missing":                     {"file c", []admissionv1.MutatingAdmissionPolicy{all}, "novawire-staging is missing: pods of the namespace staging are wired with another configuration", apply},
		"that of all others is missing":      {"file c", []admissionv1.MutatingAdmissionPolicy{staging}, "novawire is missing: pods are wired in", apply},
		"one is left of a removed namespace": {"file c", []admissionv1.MutatingAdmissionPolicy{all, of("novawire-old", engine.Hash()), staging}, "novawire-old belongs to no namespace", remove},
		"the configuration is unknown":       {"defaults", []admissionv1.MutatingAdmissionPolicy{of("novawire", "x")}, "novawire: whether it has", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found := &findings{programs: diagnosis.Programs{Novawire: "novawire", Kubectl: "kubectl"}}
			(&checker{findings: found, in: &installation{engine: engine, from: c.from}}).checkPolicies(c.policies)
			var bad []finding
			for _, f := range found.all {
				if f.Level != levelOK {
					bad = append(bad, f)
				}
			}
			if c.want == "" {
				if len(bad) > 0 {
					t.Errorf("%+v", bad)
				}
				return
			}
			if len(bad) != 1 || !strings.Contains(bad[0].Text, c.want) || !strings.HasPrefix(bad[0].Fix, c.fix) {
				t.Errorf("%+v, want %s", bad, c.want)
			}
		})
	}
}

func TestPoliciesOf(t *testing.T) {
	of := func(names ...string) (all []admissionv1.MutatingAdmissionPolicy) {
		for _, name := range names {
			all = append(all, admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		return all
	}
	for namespace, c := range map[string]struct {
		all  []admissionv1.MutatingAdmissionPolicy
		want string
	}{
		"staging": {of("novawire", "novawire-other", "novawire-staging"), "novawire-staging"},
		"nova":    {of("novawire-staging", "novawire"), "novawire"},
		"none":    {of("novawire-staging"), ""},
	} {
		got := ""
		if found := policiesOf(c.all, namespace); len(found) > 0 {
			got = found[0].Name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", namespace, got, c.want)
		}
	}
}
