package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/certs"
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
			found := &findings{out: &out}
			checkChain(found, "pod a", c.chain, []trust{{"the webhook", certs.Bundle{c.trusted.Certificate}}}, name, time.Now())
			problem := ""
			for line := range strings.Lines(out.String()) {
				if strings.HasPrefix(line, "problem") && problem == "" {
					problem = line
				}
			}
			if c.want == "" && problem != "" || !strings.Contains(problem, c.want) || (found.result() == nil) != (c.want == "") {
				t.Errorf("want a problem with %q, got:\n%s", c.want, &out)
			}
		})
	}
}
