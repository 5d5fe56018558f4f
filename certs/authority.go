package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// Authority is a certificate authority, with the facts that decide when it may sign
// and when it can be removed.
type Authority struct {
	Certificate *x509.Certificate
	// Key signs leaves. It is nil if it was lost or never known. Such an authority
	// signs nothing and is trusted until its leaves have expired.
	Key *ecdsa.PrivateKey
	// Leaf is the longest lifetime of a leaf that it signs, even if a later policy
	// allows more.
	Leaf time.Duration
	// SignsFrom is the time from which it may sign. It is zero until every bundle
	// contains the authority.
	SignsFrom time.Time
	// Found is the time when the authority was found in a bundle. It is zero for
	// authorities that this package created. Somebody may have signed with a found
	// authority until that time.
	Found time.Time
}

// ErrNoKey is returned by [Authority.Issue] if the key is not known.
var ErrNoKey = errors.New("the authority's key is not known")

// NewAuthority creates a self-signed certificate authority. Its subject contains
// the name and the serial number, because authorities that overlap need different
// subjects.
func NewAuthority(name string, now time.Time, policy Policy, random io.Reader) (Authority, error) {
	serial, err := newSerial(random)
	if err != nil {
		return Authority{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return Authority{}, fmt.Errorf("generate authority key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("%s %x", name, serial)},
		NotBefore:             now.Add(-policy.Skew),
		NotAfter:              now.Add(policy.Authority),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	certificate, err := createCertificate(random, template, template, key, key)
	if err != nil {
		return Authority{}, fmt.Errorf("create authority certificate: %w", err)
	}
	return Authority{Certificate: certificate, Key: key, Leaf: policy.Leaf}, nil
}

// Issue signs a serving certificate for names, which are DNS names or IP
// addresses. It never outlives the authority.
//
// The caller must read now before it reads the authorities. Then every leaf expires
// within one leaf lifetime of the time when its authority stopped being the signer,
// even if the process was paused in between.
func (a Authority) Issue(names []string, now time.Time, policy Policy, random io.Reader) (*tls.Certificate, error) {
	if a.Key == nil {
		return nil, ErrNoKey
	}
	serial, err := newSerial(random)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("generate leaf key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-policy.Skew),
		NotAfter:     earliest(now.Add(min(a.Leaf, policy.Leaf)), a.Certificate.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	leaf, err := createCertificate(random, template, a.Certificate, key, a.Key)
	if err != nil {
		return nil, fmt.Errorf("create leaf certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func createCertificate(random io.Reader, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(random, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns 127 random bits. RFC 5280, section 4.1.2.2, requires a positive
// number of at most 20 bytes.
func newSerial(random io.Reader) (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b), nil
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
