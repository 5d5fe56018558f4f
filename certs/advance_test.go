package certs_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/certs"
)

// advance calls Advance at the given time after start and returns the steps.
func advance(t *testing.T, as certs.Authorities, at time.Duration, bundles ...certs.Bundle) (certs.Authorities, []certs.Step) {
	t.Helper()
	next, changes, err := as.Advance("test", certs.Observation{Now: start.Add(at), Bundles: bundles}, policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var steps []certs.Step
	for _, c := range changes {
		steps = append(steps, c.Step)
	}
	return next, steps
}

// signing returns an authority of the given age that has signed since its creation.
func signing(t *testing.T, age time.Duration) certs.Authority {
	a := authority(t, start.Add(-age))
	a.SignsFrom = start.Add(-age)
	return a
}

func wantSteps(t *testing.T, got []certs.Step, steps ...certs.Step) {
	t.Helper()
	if diff := cmp.Diff(steps, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

const due = 240 * time.Hour // two thirds of an authority's life

func TestAuthorities_Advance(t *testing.T) {
	t.Run("the first authority signs as soon as every bundle contains it", func(t *testing.T) {
		as, steps := advance(t, nil, 0, nil, nil)
		wantSteps(t, steps, certs.Created)
		if _, ok := as.Signer(start); ok {
			t.Error("it signs before it is published")
		}
		half := as.Trusted(start, policy)
		as, steps = advance(t, as, time.Second, half, nil)
		wantSteps(t, steps)
		as, steps = advance(t, as, 2*time.Second, half, half)
		wantSteps(t, steps, certs.Published)
		if _, ok := as.Signer(start.Add(2 * time.Second)); !ok {
			t.Error("it does not sign")
		}
	})

	t.Run("a successor signs only after every bundle contains it and the settling time has passed", func(t *testing.T) {
		old := signing(t, due)
		as, steps := advance(t, certs.Authorities{old}, 0, certs.Bundle{old.Certificate})
		wantSteps(t, steps, certs.Created)
		both := as.Trusted(start, policy)
		as, steps = advance(t, as, time.Hour, both, certs.Bundle{old.Certificate})
		wantSteps(t, steps) // one bundle lags
		as, steps = advance(t, as, 2*time.Hour, both, both)
		wantSteps(t, steps, certs.Published)
		seen := start.Add(2 * time.Hour)
		for at, signer := range map[time.Time]certs.Authority{seen.Add(policy.Settle - 1): old, seen.Add(policy.Settle): as[1]} {
			if got, ok := as.Signer(at); !ok || !got.Certificate.Equal(signer.Certificate) {
				t.Errorf("at %v another one signs", at)
			}
		}
	})

	t.Run("the old authority stays until its last leaf has expired", func(t *testing.T) {
		old, young := signing(t, due), signing(t, 0)
		as := certs.Authorities{old, young}
		last := leaf(t, old, start.Add(-1), "webhook.nova.svc")
		if !as.Trusted(last.NotAfter.Add(policy.Skew-time.Second), policy).Contains(old.Certificate) {
			t.Error("it left while a leaf of it was valid")
		}
		after := policy.Leaf + policy.Skew
		trusted := as.Trusted(start.Add(after), policy)
		if trusted.Contains(old.Certificate) {
			t.Error("it never leaves")
		}
		as, steps := advance(t, as, after, certs.Bundle{old.Certificate, young.Certificate})
		wantSteps(t, steps) // a bundle holds it still: known, so that it is not taken for a stranger
		as, steps = advance(t, as, after, trusted)
		wantSteps(t, steps, certs.Removed)
		if len(as) != 1 {
			t.Errorf("%d are left", len(as))
		}
	})

	t.Run("an expired authority stays while no other has signed", func(t *testing.T) {
		as := certs.Authorities{signing(t, 0)}
		if len(as.Trusted(start.Add(10*policy.Authority), policy)) != 1 {
			t.Error("it left by its own expiry: a clock that is ahead would take the trust away")
		}
	})

	t.Run("an unknown authority in a bundle is kept for a leaf's life", func(t *testing.T) {
		lost := authority(t, start)
		as, steps := advance(t, nil, 0, certs.Bundle{lost.Certificate})
		wantSteps(t, steps, certs.Found, certs.Created)
		as, steps = advance(t, as, time.Second, as.Trusted(start, policy))
		wantSteps(t, steps, certs.Published)
		if _, ok := as.Signer(start.Add(2 * time.Second)); ok {
			t.Error("the replacement signs before it has settled")
		}
		takesOver := time.Second + policy.Settle
		if !as.Trusted(start.Add(takesOver+policy.Leaf), policy).Contains(lost.Certificate) {
			t.Error("it left while a leaf of it may be valid")
		}
		if as.Trusted(start.Add(takesOver+policy.Leaf+policy.Skew), policy).Contains(lost.Certificate) {
			t.Error("it never leaves")
		}
	})

	// Another issuer was used before; our authority has been signing for long.
	t.Run("an unknown authority is kept from the time when it was found", func(t *testing.T) {
		ours, theirs := signing(t, 200*time.Hour), authority(t, start)
		as, steps := advance(t, certs.Authorities{ours}, 0, certs.Bundle{theirs.Certificate})
		wantSteps(t, steps, certs.Found)
		if !as.Trusted(start.Add(policy.Leaf), policy).Contains(theirs.Certificate) {
			t.Error("it left at once, and replicas may be serving with it")
		}
	})

	t.Run("an authority that is not ours is added only if every bundle has it", func(t *testing.T) {
		foreign, err := certs.NewAuthority("somebody", start, policy, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ours, lost := signing(t, 0), authority(t, start)
		with, without := certs.Bundle{ours.Certificate, foreign.Certificate}, certs.Bundle{ours.Certificate}
		as, steps := advance(t, certs.Authorities{ours}, 0, with, without)
		wantSteps(t, steps)
		if as.Trusted(start, policy).Contains(foreign.Certificate) {
			t.Error("the trust is spread to the other bundle")
		}
		_, steps = advance(t, certs.Authorities{ours}, 0, with, with)
		wantSteps(t, steps, certs.Found) // the issuer before us
		_, steps = advance(t, certs.Authorities{ours}, 0, certs.Bundle{ours.Certificate, lost.Certificate}, without)
		wantSteps(t, steps, certs.Found) // one of ours, of a replica that is behind
	})

	t.Run("unknown authorities are limited in number, and expired ones are ignored", func(t *testing.T) {
		bundle := certs.Bundle{authority(t, start.Add(-2*policy.Authority)).Certificate}
		for range 40 {
			bundle = append(bundle, authority(t, start).Certificate)
		}
		as, _ := advance(t, certs.Authorities{signing(t, 0)}, 0, bundle)
		if len(as) != 1+32 || as[:32].Trusted(start, policy).Contains(bundle[0]) {
			t.Errorf("%d authorities", len(as))
		}
	})

	t.Run("an authority created under a clock that was ahead does not sign yet", func(t *testing.T) {
		now, future := signing(t, 0), authority(t, start.Add(1000*time.Hour))
		future.SignsFrom = start.Add(1000 * time.Hour)
		as := certs.Authorities{now, future}
		if signer, ok := as.Signer(start); !ok || !signer.Certificate.Equal(now.Certificate) {
			t.Error("the present one does not sign")
		}
		bundle := as.Trusted(start, policy)
		_, steps := advance(t, as, due, bundle)
		wantSteps(t, steps, certs.Created)
	})

	t.Run("a lost key is replaced at once", func(t *testing.T) {
		a := signing(t, 0)
		a.Key = nil
		as, steps := advance(t, certs.Authorities{a}, 0, certs.Bundle{a.Certificate})
		wantSteps(t, steps, certs.Created)
		if !as.Trusted(start, policy).Contains(a.Certificate) {
			t.Error("its leaves are not trusted any more")
		}
	})
}
