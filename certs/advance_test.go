package certs_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/certs"
)

// advance takes one step at a time after birth and returns what happened.
func advance(t *testing.T, as certs.Authorities, at time.Duration, bundles ...certs.Bundle) (certs.Authorities, []certs.Step) {
	t.Helper()
	next, changes, err := as.Advance("test", certs.Observation{Now: birth.Add(at), Bundles: bundles}, policy, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var steps []certs.Step
	for _, c := range changes {
		steps = append(steps, c.Step)
	}
	return next, steps
}

// signing is an authority of that age that has always signed.
func signing(t *testing.T, age time.Duration) certs.Authority {
	a := authority(t, birth.Add(-age))
	a.SignsFrom = birth.Add(-age)
	return a
}

func want(t *testing.T, got []certs.Step, steps ...certs.Step) {
	t.Helper()
	if diff := cmp.Diff(steps, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

const due = 240 * time.Hour // two thirds of an authority's life

func TestTheFirstAuthoritySignsAsSoonAsItIsSeen(t *testing.T) {
	as, steps := advance(t, nil, 0, nil, nil)
	want(t, steps, certs.Minted)
	if _, ok := as.Signer(birth); ok {
		t.Error("it signs unseen")
	}
	half := as.Trusted(birth, policy)
	as, steps = advance(t, as, time.Second, half, nil)
	want(t, steps)
	as, steps = advance(t, as, 2*time.Second, half, half)
	want(t, steps, certs.Seen)
	if _, ok := as.Signer(birth.Add(2 * time.Second)); !ok {
		t.Error("it does not sign")
	}
}

func TestASuccessorSignsOnlyAfterEveryBundleHoldsItAndHasSettled(t *testing.T) {
	old := signing(t, due)
	as, steps := advance(t, certs.Authorities{old}, 0, certs.Bundle{old.Certificate})
	want(t, steps, certs.Minted)
	both := as.Trusted(birth, policy)
	as, steps = advance(t, as, time.Hour, both, certs.Bundle{old.Certificate})
	want(t, steps) // one bundle lags
	as, steps = advance(t, as, 2*time.Hour, both, both)
	want(t, steps, certs.Seen)
	seen := birth.Add(2 * time.Hour)
	for at, signer := range map[time.Time]certs.Authority{seen.Add(policy.Settle - 1): old, seen.Add(policy.Settle): as[1]} {
		if got, ok := as.Signer(at); !ok || !got.Certificate.Equal(signer.Certificate) {
			t.Errorf("at %v another one signs", at)
		}
	}
}

func TestTheOldAuthorityStaysUntilItsLastLeafHasExpired(t *testing.T) {
	old, young := signing(t, due), signing(t, 0)
	as := certs.Authorities{old, young}
	last := leaf(t, old, birth.Add(-1), "webhook.nova.svc")
	if !as.Trusted(last.NotAfter.Add(policy.Skew-time.Second), policy).Holds(old.Certificate) {
		t.Error("it left while a leaf of it was valid")
	}
	after := policy.Leaf + policy.Skew
	trusted := as.Trusted(birth.Add(after), policy)
	if trusted.Holds(old.Certificate) {
		t.Error("it never leaves")
	}
	as, steps := advance(t, as, after, certs.Bundle{old.Certificate, young.Certificate})
	want(t, steps) // a bundle holds it still: known, so that it is not taken for a stranger
	as, steps = advance(t, as, after, trusted)
	want(t, steps, certs.Left)
	if len(as) != 1 {
		t.Errorf("%d are left", len(as))
	}
}

func TestAnExpiredAuthorityStaysWhereNoOtherHasSigned(t *testing.T) {
	as := certs.Authorities{signing(t, 0)}
	if len(as.Trusted(birth.Add(10*policy.Authority), policy)) != 1 {
		t.Error("it left by its own expiry: a clock that is ahead would take the trust away")
	}
}

func TestAnUnknownAuthorityInABundleIsKeptForALeafsLife(t *testing.T) {
	lost := authority(t, birth)
	as, steps := advance(t, nil, 0, certs.Bundle{lost.Certificate})
	want(t, steps, certs.Found, certs.Minted)
	as, steps = advance(t, as, time.Second, as.Trusted(birth, policy))
	want(t, steps, certs.Seen)
	if _, ok := as.Signer(birth.Add(2 * time.Second)); ok {
		t.Error("the replacement signs before it has settled")
	}
	takesOver := time.Second + policy.Settle
	if !as.Trusted(birth.Add(takesOver+policy.Leaf), policy).Holds(lost.Certificate) {
		t.Error("it left while a leaf of it may be valid")
	}
	if as.Trusted(birth.Add(takesOver+policy.Leaf+policy.Skew), policy).Holds(lost.Certificate) {
		t.Error("it never leaves")
	}
}

// Another issuer was used before; our authority has been signing for long.
func TestAnUnknownAuthorityIsKeptFromWhenItWasFound(t *testing.T) {
	ours, theirs := signing(t, 200*time.Hour), authority(t, birth)
	as, steps := advance(t, certs.Authorities{ours}, 0, certs.Bundle{theirs.Certificate})
	want(t, steps, certs.Found)
	if !as.Trusted(birth.Add(policy.Leaf), policy).Holds(theirs.Certificate) {
		t.Error("it left at once, and replicas may be serving with it")
	}
}

func TestUnknownAuthoritiesAreBoundedAndUnexpired(t *testing.T) {
	bundle := certs.Bundle{authority(t, birth.Add(-2*policy.Authority)).Certificate}
	for range 40 {
		bundle = append(bundle, authority(t, birth).Certificate)
	}
	as, _ := advance(t, certs.Authorities{signing(t, 0)}, 0, bundle)
	if len(as) != 1+32 || as[:32].Trusted(birth, policy).Holds(bundle[0]) {
		t.Errorf("%d authorities", len(as))
	}
}

func TestAnAuthorityMintedUnderAClockThatWasAheadWaitsItsTurn(t *testing.T) {
	now, future := signing(t, 0), authority(t, birth.Add(1000*time.Hour))
	future.SignsFrom = birth.Add(1000 * time.Hour)
	as := certs.Authorities{now, future}
	if signer, ok := as.Signer(birth); !ok || !signer.Certificate.Equal(now.Certificate) {
		t.Error("the present one does not sign")
	}
	bundle := as.Trusted(birth, policy)
	_, steps := advance(t, as, due, bundle)
	want(t, steps, certs.Minted)
}

func TestALostKeyIsReplacedAtOnce(t *testing.T) {
	a := signing(t, 0)
	a.Key = nil
	as, steps := advance(t, certs.Authorities{a}, 0, certs.Bundle{a.Certificate})
	want(t, steps, certs.Minted)
	if !as.Trusted(birth, policy).Holds(a.Certificate) {
		t.Error("its leaves are not trusted any more")
	}
}
