// Package certs decides when the certificate authorities of a webhook are created,
// published, used and removed, and signs serving certificates. Authorities overlap,
// so that a rotation never interrupts admission. The package is pure: time,
// randomness and names are arguments, and it imports the standard library only.
// Package rotator stores the authorities and publishes them to the clients.
//
// Two rules avoid gaps:
//
//   - An authority signs nothing until every bundle contains it and a settling
//     time has passed, in which clients load their new bundle.
//   - An authority is removed from the bundles only after the last leaf that it
//     can have signed has expired.
package certs

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Policy holds the lifetimes.
type Policy struct {
	// Authority is the lifetime of a certificate authority. Its successor is
	// created after two thirds of it.
	Authority time.Duration
	// Leaf is the lifetime of a serving certificate. It is renewed after two thirds.
	Leaf time.Duration
	// Settle is the time between the moment when every bundle contains an authority
	// and its first signature. It must be longer than an API server needs to load a
	// changed webhook configuration.
	Settle time.Duration
	// Skew is the largest difference between the clocks of replicas and API servers.
	// Certificates become valid this long before they are created.
	Skew time.Duration
}

// DefaultPolicy returns the policy for a cluster. The informers of an API server
// usually lag by less than a second, and longer while a watch is reopened.
func DefaultPolicy() Policy {
	return Policy{
		Authority: 365 * 24 * time.Hour,
		Leaf:      7 * 24 * time.Hour,
		Settle:    30 * time.Second,
		Skew:      5 * time.Minute,
	}
}

// Validate returns an error if the lifetimes leave no time for renewal. The last
// third of an authority must be longer than the settling time of its successor plus
// the lifetime of a leaf. The last third of a leaf must be longer than the settling
// time of an authority that replaces a lost one.
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

// RenewalDue reports whether two thirds of a certificate's lifetime have passed.
func RenewalDue(certificate *x509.Certificate, now time.Time) bool {
	life := certificate.NotAfter.Sub(certificate.NotBefore)
	return !now.Before(certificate.NotBefore.Add(life / 3 * 2))
}

// Valid reports whether now is within the certificate's validity period.
func Valid(certificate *x509.Certificate, now time.Time) bool {
	return !now.Before(certificate.NotBefore) && now.Before(certificate.NotAfter)
}
