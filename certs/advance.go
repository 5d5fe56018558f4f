package certs

import (
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"time"
)

// Step is what happened to an authority.
type Step string

// The steps of an authority's life that [Authorities.Advance] takes.
const (
	Found  Step = "found"  // it was in a bundle, unknown, and is kept for now
	Seen   Step = "seen"   // it is in every bundle and will sign
	Left   Step = "left"   // it is in no bundle any more and is forgotten
	Minted Step = "minted" // it is new, and to be published
)

// Change is one step of one authority.
type Change struct {
	Step      Step
	Authority Authority
}

// foundLimit bounds how many unknown authorities are kept, for tools that write
// a new one each time they run. The latest are refused: to forget one that a
// bundle still holds would be to find it again.
const foundLimit = 32

// Observation is the world that Advance judges by.
type Observation struct {
	// Now must have been read before Bundles were.
	Now time.Time
	// Bundles has one entry for every client's bundle, read from where clients
	// read it. Where there are none, everything counts as seen.
	Bundles []Bundle
}

// Advance takes each step that is due and returns the list as it should be
// stored. Only after it is stored may a bundle be written from it.
func (as Authorities) Advance(name string, o Observation, policy Policy, random io.Reader) (Authorities, []Change, error) {
	next := slices.Clone(as)
	var changes []Change
	for _, step := range []func(Authorities, Observation, Policy) (Authorities, []Change){keepFound, markSeen, forgetLeft} {
		var taken []Change
		next, taken = step(next, o, policy)
		changes = append(changes, taken...)
	}
	if !next.successorDue(o.Now) {
		return next, changes, nil
	}
	a, err := NewAuthority(name, o.Now, policy, random)
	if err != nil {
		return as, nil, fmt.Errorf("mint an authority: %w", err)
	}
	return append(next, a), append(changes, Change{Minted, a}), nil
}

// keepFound takes in unexpired authorities that bundles hold and the list does not:
// the list may have been lost, or another issuer used before, and a replica may
// still be serving a leaf of theirs.
func keepFound(as Authorities, o Observation, policy Policy) (Authorities, []Change) {
	var found Authorities
	var changes []Change
	kept := count(as, func(a Authority) bool { return !a.Found.IsZero() })
	for _, certificate := range slices.Concat(o.Bundles...) {
		if as.know(certificate) || found.know(certificate) || !o.Now.Before(certificate.NotAfter) || kept+len(found) >= foundLimit {
			continue
		}
		a := Authority{Certificate: certificate, Leaf: policy.Leaf, Found: o.Now}
		found, changes = append(found, a), append(changes, Change{Found, a})
	}
	return append(found, as...), changes
}

// markSeen lets an authority sign that every bundle holds, at once where no other
// can be in use.
func markSeen(as Authorities, o Observation, policy Policy) (Authorities, []Change) {
	var changes []Change
	for i, a := range as {
		if a.Key == nil || !a.SignsFrom.IsZero() || !everyHolds(o.Bundles, a.Certificate) {
			continue
		}
		as[i].SignsFrom = o.Now
		if count(as, func(other Authority) bool { return Valid(other.Certificate, o.Now) }) > 1 {
			as[i].SignsFrom = o.Now.Add(policy.Settle)
		}
		changes = append(changes, Change{Seen, as[i]})
	}
	return as, changes
}

// forgetLeft drops authorities that have left and are gone from every bundle.
// Until then the list is what tells them from unknown ones.
func forgetLeft(as Authorities, o Observation, policy Policy) (Authorities, []Change) {
	var kept Authorities
	var changes []Change
	for i, a := range as {
		if as.left(i, o.Now, policy) && !anyHolds(o.Bundles, a.Certificate) {
			changes = append(changes, Change{Left, a})
		} else {
			kept = append(kept, a)
		}
	}
	return kept, changes
}

// successorDue tells whether the newest authority that can sign, now or after it
// has been published, is near its end. One that is not valid yet was minted under
// a wrong clock, and does not count.
func (as Authorities) successorDue(now time.Time) bool {
	for _, a := range slices.Backward(as) {
		if a.Key != nil && !now.Before(a.Certificate.NotBefore) {
			return RenewalDue(a.Certificate, now)
		}
	}
	return true
}

func everyHolds(bundles []Bundle, certificate *x509.Certificate) bool {
	return !slices.ContainsFunc(bundles, func(b Bundle) bool { return !b.Holds(certificate) })
}

func anyHolds(bundles []Bundle, certificate *x509.Certificate) bool {
	return slices.ContainsFunc(bundles, func(b Bundle) bool { return b.Holds(certificate) })
}

func count[T any](all []T, is func(T) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}
