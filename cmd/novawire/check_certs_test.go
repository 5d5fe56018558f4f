package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/webhook/diagnosis"
)

func TestCheckCerts_Problems(t *testing.T) {
	const name = "novawire.novawire-system.svc"
	policy := certs.DefaultPolicy()
	authority, err := certs.NewAuthority("test", time.Now(), policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.NewAuthority("other", time.Now(), policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string, age time.Duration) []*x509.Certificate {
		leaf, err := authority.Issue([]string{name}, time.Now().Add(-age), policy, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{leaf.Leaf}
	}
	cases := map[string]struct {
		chain   []*x509.Certificate
		trusted certs.Authority
		want    string // of the problem line; empty for none
	}{
		"a fresh leaf is well":                 {issue(name, 0), authority, ""},
		"a leaf that has expired":              {issue(name, policy.Leaf+time.Hour), authority, "only"},
		"a leaf that should have been renewed": {issue(name, policy.Leaf*4/5), authority, "has not been renewed"},
		"a leaf for another name":              {issue("elsewhere", 0), authority, "not " + name},
		"a caBundle of another authority":      {issue(name, 0), other, "not trusted by the webhook"},
	}
	for sentence, c := range cases {
		t.Run(sentence, func(t *testing.T) {
			var out bytes.Buffer
			found := &findings{check: "certs"}
			checkChain(found, "pod a", c.chain, []trust{{webhook: "the webhook", bundle: certs.Bundle{c.trusted.Certificate}}}, name, time.Now())
			err := found.finish(&out, "table")
			problem := ""
			for line := range strings.Lines(out.String()) {
				if strings.HasPrefix(line, "fail") && problem == "" {
					problem = line
				}
			}
			if c.want == "" && problem != "" || !strings.Contains(problem, c.want) || (err == nil) != (c.want == "") {
				t.Errorf("want a problem with %q, got:\n%s", c.want, &out)
			}
		})
	}
}

func TestCheckForeignAuthorities(t *testing.T) {
	policy := certs.DefaultPolicy()
	own, err := certs.NewAuthority("own", time.Now(), policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := certs.NewAuthority("foreign", time.Now(), policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	clients := []trust{
		{webhook: "Mutating a", bundle: certs.Bundle{own.Certificate}, kind: "MutatingWebhookConfiguration", configuration: "novawire"},
		{webhook: "Validating b", bundle: certs.Bundle{own.Certificate}, kind: "ValidatingWebhookConfiguration", configuration: "novawire", index: 1},
	}
	found := &findings{check: "certs", programs: diagnosis.Programs{Kubectl: "kubectl"}}
	if checkForeignAuthorities(found, clients); len(found.all) > 0 {
		t.Errorf("equal caBundles: %v", found.all)
	}
	clients[1].bundle = append(clients[1].bundle, foreign.Certificate)
	const fix = `kubectl patch validatingwebhookconfiguration novawire --type=json -p '[{"op":"remove","path":"/webhooks/1/clientConfig/caBundle"}]'`
	if checkForeignAuthorities(found, clients); len(found.all) != 1 || !strings.Contains(found.all[0].Text, "Validating b") || found.all[0].Fix != fix {
		t.Errorf("a foreign authority: %+v", found.all)
	}
}

func TestCheckPair(t *testing.T) {
	mutating, validating := trust{name: "pods.inject.nova.dev"}, trust{name: "workloads.inject.nova.dev"}
	for sentence, c := range map[string]struct {
		clients []trust
		want    string
	}{
		"both":                           {[]trust{mutating, validating}, ""},
		"the mutating one was deleted":   {[]trust{validating}, "pods.inject.nova.dev"},
		"the validating one was deleted": {[]trust{mutating}, "workloads.inject.nova.dev"},
		"webhooks of others":             {[]trust{{name: "other"}}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			found := &findings{}
			checkPair(found, c.clients)
			if (c.want == "") != (len(found.all) == 0) || c.want != "" && !strings.Contains(found.all[0].Text, c.want) {
				t.Errorf("%+v, want %q", found.all, c.want)
			}
		})
	}
}
