// Package certs decides how a webhook's certificates live: certificate
// authorities that overlap, the leaves they sign, and when each may be minted,
// sign, retire and leave. It is pure: time, randomness and names are arguments,
// and it imports nothing but the standard library. Where the authorities are
// kept and how clients come to trust them is the rotator's part.
//
// Two rules make rotation free of gaps:
//
//   - An authority signs nothing before it has been seen in every bundle, and a
//     settling time has passed in which clients notice their new bundle.
//   - An authority leaves the bundles only after the last leaf it can have
//     signed has expired.
package certs

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Policy says how long things live.
type Policy struct {
	// Authority is the lifetime of a certificate authority. Its successor is
	// minted when two thirds have passed.
	Authority time.Duration
	// Leaf is the lifetime of a serving certificate, renewed at two thirds.
	Leaf time.Duration
	// Settle passes between an authority being seen in every bundle and its
	// first signature. It is longer than an API server takes to act on a changed
	// webhook configuration.
	Settle time.Duration
	// Skew is how far the clocks of replicas and API servers may differ.
	// Certificates are valid from that much before they are made.
	Skew time.Duration
}

// DefaultPolicy suits a cluster: an API server's informers lag by less than a
// second, and by as much as a watch that has to be opened again.
func DefaultPolicy() Policy {
	return Policy{
		Authority: 365 * 24 * time.Hour,
		Leaf:      7 * 24 * time.Hour,
		Settle:    30 * time.Second,
		Skew:      5 * time.Minute,
	}
}

// Validate refuses lifetimes that leave no time to renew: the last third of an
// authority must hold its successor's settling and a whole leaf, the last third
// of a leaf must hold the settling of an authority that replaces a lost one.
func (p Policy) Validate() error {
	switch {
	case p.Settle < 0 || p.Skew < 0:
		return fmt.Errorf("settling time %v and clock skew %v must not be negative", p.Settle, p.Skew)
	case p.Leaf <= 0 || p.Leaf/3 < p.Settle+p.Skew:
		return fmt.Errorf("leaf lifetime %v must be at least three times the settling time %v plus the clock skew %v", p.Leaf, p.Settle, p.Skew)
	case p.Authority/3 < p.Leaf+p.Settle+p.Skew:
		return fmt.Errorf("authority lifetime %v must be at least three times leaf lifetime %v plus settling time %v plus clock skew %v", p.Authority, p.Leaf, p.Settle, p.Skew)
	}
	return nil
}

// RenewalDue tells whether two thirds of a certificate's life have passed.
func RenewalDue(certificate *x509.Certificate, now time.Time) bool {
	life := certificate.NotAfter.Sub(certificate.NotBefore)
	return !now.Before(certificate.NotBefore.Add(life / 3 * 2))
}

// Valid tells whether now is within a certificate's life.
func Valid(certificate *x509.Certificate, now time.Time) bool {
	return !now.Before(certificate.NotBefore) && now.Before(certificate.NotAfter)
}
