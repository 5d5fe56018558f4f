package certs_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
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
	const minute = time.Minute
	for sentence, c := range map[string]struct {
		policy certs.Policy // authority, leaf, settle, skew
		valid  bool
	}{
		"no life for the leaf":                            {certs.Policy{0, 0, 0, 0}, false},
		"a negative life":                                 {certs.Policy{minute, -1, 0, 0}, false},
		"the shortest leaf":                               {certs.Policy{3, 1, 0, 0}, true},
		"a negative skew":                                 {certs.Policy{30 * minute, 3 * minute, minute, -1}, false},
		"a negative settling time":                        {certs.Policy{30 * minute, 3 * minute, -1, minute}, false},
		"a leaf of three times the settling time":         {certs.Policy{12 * minute, 3 * minute, minute, 0}, true},
		"a leaf of three times the skew":                  {certs.Policy{12 * minute, 3 * minute, 0, minute}, true},
		"a leaf of three times both":                      {certs.Policy{24 * minute, 6 * minute, minute, minute}, true},
		"a leaf of less than three times both":            {certs.Policy{24 * minute, 6*minute - 1, minute, minute}, false},
		"an authority of less than three leaves and both": {certs.Policy{24*minute - 1, 6 * minute, minute, minute}, false},
		"an authority as long as its leaf":                {certs.Policy{minute, minute, 0, 0}, false},
	} {
		if err := c.policy.Validate(); (err == nil) != c.valid {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// constant is a source of one byte.
type constant byte

func (c constant) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(c)
	}
	return len(b), nil
}

// A serial number is positive and has 127 bits (RFC 5280, section 4.1.2.2).
func TestNewAuthority_SerialNumber(t *testing.T) {
	for source, bits := range map[constant]int{0x00: 1, 0xff: 127} {
		a, err := certs.NewAuthority("test", start, policy, source)
		if err != nil {
			t.Fatal(err)
		}
		if n := a.Certificate.SerialNumber; n.Sign() != 1 || n.BitLen() != bits {
			t.Errorf("%#x: serial number %x", source, n)
		}
	}
}

func TestAuthority_Errors(t *testing.T) {
	broken := iotest.ErrReader(io.ErrUnexpectedEOF)
	if _, err := certs.NewAuthority("test", start, policy, broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an authority without a source of randomness: %v", err)
	}
	a := authority(t, start)
	if _, err := a.Issue([]string{"webhook.nova.svc"}, start, policy, broken); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "generate serial number: ") {
		t.Errorf("a leaf without a source of randomness: %v", err)
	}
	if issued, err := a.Issue([]string{"b\u00fccher"}, start, policy, rand.Reader); err == nil || issued != nil {
		t.Error("a name that no certificate can have is accepted")
	}
	as := certs.Authorities{}
	if next, changes, err := as.Advance("test", certs.Observation{Now: start}, policy, broken); !errors.Is(err, io.ErrUnexpectedEOF) || len(next) != 0 || changes != nil {
		t.Errorf("%v, %v, %v", next, changes, err)
	}
	a.Key = &ecdsa.PrivateKey{}
	if text, err := (certs.Authorities{a}).Encode(); err == nil || text != nil {
		t.Error("a key that cannot be written is left out")
	}
}

func TestAuthorities_Signed(t *testing.T) {
	ours, another := authority(t, start), authority(t, start)
	l := leaf(t, ours, start, "webhook.nova.svc")
	if !(certs.Authorities{another, ours}).Signed(l) {
		t.Error("a leaf of ours is not recognized")
	}
	if (certs.Authorities{another}).Signed(l) || (certs.Authorities{}).Signed(l) {
		t.Error("a leaf of another authority is taken as ours")
	}
}
