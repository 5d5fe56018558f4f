package certs

import (
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Step is a state change of an authority.
type Step string

// The steps that [Authorities.Advance] takes.
const (
	Found     Step = "found"     // an unknown authority was in a bundle and was added to the list
	Published Step = "published" // the authority is in every bundle and may sign after the settling time
	Removed   Step = "removed"   // the authority is in no bundle any more and was removed from the list
	Created   Step = "created"   // the authority is new and has to be published
)

// Change is one step of one authority.
type Change struct {
	Step      Step
	Authority Authority
}

// maxFound limits how many unknown authorities are kept, because some tools write
// a new one each time they run. The latest are ignored. Dropping older ones would
// not help: they would be found in the bundles again.
const maxFound = 32

// Observation is the state of the cluster that Advance decides on.
type Observation struct {
	// Now must have been read before Bundles were.
	Now time.Time
	// Bundles holds one bundle for each client, read from where the client reads
	// it. If it is empty, every authority counts as published.
	Bundles []Bundle
}

// Advance takes each step that is due and returns the new list. The caller must
// store the list before it writes a bundle from it.
func (as Authorities) Advance(name string, o Observation, policy Policy, random io.Reader) (Authorities, []Change, error) {
	next := slices.Clone(as)
	var changes []Change
	addOurs := func(as Authorities, o Observation, policy Policy) (Authorities, []Change) {
		return addFound(as, name, o, policy)
	}
	for _, step := range []func(Authorities, Observation, Policy) (Authorities, []Change){addOurs, markPublished, removeRetired} {
		var taken []Change
		next, taken = step(next, o, policy)
		changes = append(changes, taken...)
	}
	if !next.successorDue(o.Now) {
		return next, changes, nil
	}
	a, err := NewAuthority(name, o.Now, policy, random)
	if err != nil {
		return as, nil, fmt.Errorf("create an authority: %w", err)
	}
	return append(next, a), append(changes, Change{Created, a}), nil
}

// addFound adds the unexpired authorities that a bundle contains and the list does
// not. The list may have been lost, or another issuer may have been used before, and
// a replica may still serve a leaf that such an authority signed. An authority that is not
// one of ours, and that some bundle lacks, is not added: nothing of ours was trusted by it
// everywhere, and adding it would spread the trust to the other bundles.
func addFound(as Authorities, name string, o Observation, policy Policy) (Authorities, []Change) {
	var found Authorities
	var changes []Change
	kept := count(as, func(a Authority) bool { return !a.Found.IsZero() })
	for _, certificate := range slices.Concat(o.Bundles...) {
		if !Ours(certificate, name) && !allContain(o.Bundles, certificate) {
			continue
		}
		if as.contains(certificate) || found.contains(certificate) || !o.Now.Before(certificate.NotAfter) || kept+len(found) >= maxFound {
			continue
		}
		a := Authority{Certificate: certificate, Leaf: policy.Leaf, Found: o.Now}
		found, changes = append(found, a), append(changes, Change{Found, a})
	}
	return append(found, as...), changes
}

// Ours reports whether [NewAuthority] could have created the certificate for the name, by its
// subject.
func Ours(certificate *x509.Certificate, name string) bool {
	return strings.HasPrefix(certificate.Subject.CommonName, name+" ")
}

// markPublished sets SignsFrom of the authorities that every bundle contains: the
// current time if no other authority can be in use, and else the end of the settling
// time.
func markPublished(as Authorities, o Observation, policy Policy) (Authorities, []Change) {
	var changes []Change
	for i, a := range as {
		if a.Key == nil || !a.SignsFrom.IsZero() || !allContain(o.Bundles, a.Certificate) {
			continue
		}
		as[i].SignsFrom = o.Now
		if count(as, func(other Authority) bool { return Valid(other.Certificate, o.Now) }) > 1 {
			as[i].SignsFrom = o.Now.Add(policy.Settle)
		}
		changes = append(changes, Change{Published, as[i]})
	}
	return as, changes
}

// removeRetired removes the retired authorities that no bundle contains any more.
// Until then they stay in the list; else they would be taken for unknown ones.
func removeRetired(as Authorities, o Observation, policy Policy) (Authorities, []Change) {
	var kept Authorities
	var changes []Change
	for i, a := range as {
		if as.retired(i, o.Now, policy) && !anyContains(o.Bundles, a.Certificate) {
			changes = append(changes, Change{Removed, a})
		} else {
			kept = append(kept, a)
		}
	}
	return kept, changes
}

// successorDue reports whether the newest authority that can sign, now or after it
// was published, is due for renewal. An authority that is not valid yet was created
// under a wrong clock and does not count.
func (as Authorities) successorDue(now time.Time) bool {
	for _, a := range slices.Backward(as) {
		if a.Key != nil && !now.Before(a.Certificate.NotBefore) {
			return RenewalDue(a.Certificate, now)
		}
	}
	return true
}

func allContain(bundles []Bundle, certificate *x509.Certificate) bool {
	return !slices.ContainsFunc(bundles, func(b Bundle) bool { return !b.Contains(certificate) })
}

func anyContains(bundles []Bundle, certificate *x509.Certificate) bool {
	return slices.ContainsFunc(bundles, func(b Bundle) bool { return b.Contains(certificate) })
}

func count[T any](all []T, is func(T) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}
