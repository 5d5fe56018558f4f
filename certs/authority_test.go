package certs_test

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/nova/novawire/certs"
)

var (
	policy = certs.Policy{Authority: 360 * time.Hour, Leaf: 90 * time.Hour, Settle: 10 * time.Minute, Skew: time.Minute}
	start  = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
)

func authority(t testing.TB, now time.Time) certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority("test", now, policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t testing.TB, a certs.Authority, now time.Time, names ...string) *x509.Certificate {
	t.Helper()
	issued, err := a.Issue(names, now, policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Leaf
}

func TestAuthority_Issue(t *testing.T) {
	t.Run("a leaf is trusted for its names and its lifetime", func(t *testing.T) {
		a := authority(t, start)
		l := leaf(t, a, start, "webhook.nova.svc", "192.0.2.1")
		cases := map[string]struct {
			name string
			at   time.Duration
			want bool
		}{
			"its name":                       {"webhook.nova.svc", 0, true},
			"its address":                    {"192.0.2.1", 0, true},
			"another name":                   {"other.nova.svc", 0, false},
			"a client whose clock is behind": {"webhook.nova.svc", -policy.Skew, true},
			"the last moment":                {"webhook.nova.svc", policy.Leaf, true},
			"after the last moment":          {"webhook.nova.svc", policy.Leaf + time.Second, false},
		}
		for sentence, c := range cases {
			t.Run(sentence, func(t *testing.T) {
				_, err := l.Verify(x509.VerifyOptions{DNSName: c.name, Roots: certs.Bundle{a.Certificate}.Pool(), CurrentTime: start.Add(c.at)})
				if (err == nil) != c.want {
					t.Error(err)
				}
			})
		}
	})

	t.Run("a leaf never outlives its authority", func(t *testing.T) {
		a := authority(t, start)
		l := leaf(t, a, start.Add(policy.Authority-time.Hour), "webhook.nova.svc")
		if !l.NotAfter.Equal(a.Certificate.NotAfter) {
			t.Errorf("leaf until %v, authority until %v", l.NotAfter, a.Certificate.NotAfter)
		}
	})

	// A later release may allow longer leaves; what was promised of an authority holds.
	t.Run("a leaf lives no longer than the limit stored with its authority", func(t *testing.T) {
		a := authority(t, start)
		longer := policy
		longer.Leaf *= 2
		issued, err := a.Issue([]string{"webhook.nova.svc"}, start, longer, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if want := start.Add(policy.Leaf); !issued.Leaf.NotAfter.Equal(want) {
			t.Errorf("until %v, want %v", issued.Leaf.NotAfter, want)
		}
	})

	t.Run("an authority without its key signs nothing", func(t *testing.T) {
		a := authority(t, start)
		a.Key = nil
		if _, err := a.Issue([]string{"webhook.nova.svc"}, start, policy, rand.Reader); !errors.Is(err, certs.ErrNoKey) {
			t.Error(err)
		}
	})
}

func TestPolicy_Validate(t *testing.T) {
	if err := policy.Validate(); err != nil {
		t.Errorf("the tests' policy: %v", err)
	}
	if err := certs.DefaultPolicy().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for sentence, change := range map[string]func(*certs.Policy){
		"a leaf as long as its authority":       func(p *certs.Policy) { p.Leaf = p.Authority },
		"no life for the leaf":                  func(p *certs.Policy) { p.Leaf = 0 },
		"a settling longer than a leaf's third": func(p *certs.Policy) { p.Settle = p.Leaf / 2 },
		"a negative skew":                       func(p *certs.Policy) { p.Skew = -1 },
	} {
		bad := policy
		change(&bad)
		if bad.Validate() == nil {
			t.Errorf("%s was accepted", sentence)
		}
	}
}
