package certs

import (
	"crypto/x509"
	"slices"
	"time"
)

// Authorities are all that count, oldest first. What each of them is to do at a
// moment follows from the list and the time; nothing else is recorded:
//
//	published   not seen in every bundle yet, or settling
//	signing     the newest whose SignsFrom has come
//	retiring    older than the signing one, and a leaf of it may be valid
//	left        no leaf of it can be valid; it goes out of the bundles, then out of the list
type Authorities []Authority

// Signer returns the authority that signs at that moment.
func (as Authorities) Signer(now time.Time) (Authority, bool) {
	for _, a := range slices.Backward(as) {
		if a.signs(now) {
			return a, true
		}
	}
	return Authority{}, false
}

// Trusted is what every bundle is to hold: all that have not left.
func (as Authorities) Trusted(now time.Time, policy Policy) Bundle {
	var trusted Bundle
	for i, a := range as {
		if !as.left(i, now, policy) {
			trusted = append(trusted, a.Certificate)
		}
	}
	return trusted
}

// Signed tells whether one of the authorities signed the leaf.
func (as Authorities) Signed(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(as, func(a Authority) bool { return leaf.CheckSignatureFrom(a.Certificate) == nil })
}

// left tells whether every leaf that the authority can have signed has expired:
// a newer one has been signing for a leaf's life. Its own expiry is no reason to
// go, since an expired certificate harms no bundle and clocks can be wrong.
func (as Authorities) left(i int, now time.Time, policy Policy) bool {
	a := as[i]
	for _, newer := range as[i+1:] {
		last := latest(newer.SignsFrom, a.Found)
		if newer.signs(now) && !now.Before(last.Add(a.Leaf+policy.Skew)) {
			return true
		}
	}
	return false
}

func (as Authorities) know(certificate *x509.Certificate) bool {
	return slices.ContainsFunc(as, func(a Authority) bool { return a.Certificate.Equal(certificate) })
}

// signs tells whether the authority may sign; a newer one may be preferred.
func (a Authority) signs(now time.Time) bool {
	return a.Key != nil && !a.SignsFrom.IsZero() && !now.Before(a.SignsFrom) && Valid(a.Certificate, now)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
