package certs

import (
	"crypto/x509"
	"slices"
	"time"
)

// Authorities is the list of all authorities, oldest first. The state of each one
// follows from the list and the time; it is not stored:
//
//	publishing  not in every bundle yet, or within the settling time
//	signing     the newest whose SignsFrom has passed
//	retiring    older than the signing one; a leaf that it signed may be valid
//	retired     no leaf that it signed can be valid; it is removed from the bundles, then from the list
type Authorities []Authority

// Signer returns the authority that signs at the given time.
func (as Authorities) Signer(now time.Time) (Authority, bool) {
	for _, a := range slices.Backward(as) {
		if a.canSign(now) {
			return a, true
		}
	}
	return Authority{}, false
}

// Trusted returns the bundle that every client should have: all authorities that
// are not retired.
func (as Authorities) Trusted(now time.Time, policy Policy) Bundle {
	var trusted Bundle
	for i, a := range as {
		if !as.retired(i, now, policy) {
			trusted = append(trusted, a.Certificate)
		}
	}
	return trusted
}

// Signed reports whether one of the authorities signed the leaf.
func (as Authorities) Signed(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(as, func(a Authority) bool { return leaf.CheckSignatureFrom(a.Certificate) == nil })
}

// retired reports whether every leaf that the authority can have signed has expired,
// because a newer authority has been signing for the lifetime of a leaf. The expiry
// of the authority itself does not count: an expired certificate in a bundle does no
// harm, and clocks can be wrong.
func (as Authorities) retired(i int, now time.Time, policy Policy) bool {
	a := as[i]
	for _, newer := range as[i+1:] {
		last := latest(newer.SignsFrom, a.Found)
		if newer.canSign(now) && !now.Before(last.Add(a.Leaf+policy.Skew)) {
			return true
		}
	}
	return false
}

func (as Authorities) contains(certificate *x509.Certificate) bool {
	return slices.ContainsFunc(as, func(a Authority) bool { return a.Certificate.Equal(certificate) })
}

// canSign reports whether the authority may sign. [Authorities.Signer] prefers the
// newest one.
func (a Authority) canSign(now time.Time) bool {
	return a.Key != nil && !a.SignsFrom.IsZero() && !now.Before(a.SignsFrom) && Valid(a.Certificate, now)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
