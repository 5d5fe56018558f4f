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

// Authority is a certificate authority and what must be known of it to let it go.
type Authority struct {
	Certificate *x509.Certificate
	// Key signs leaves. It is nil where it was lost, or never known: such an
	// authority is trusted until its leaves have expired, and signs nothing.
	Key *ecdsa.PrivateKey
	// Leaf is the longest life of a leaf it signs, whatever later policy says.
	Leaf time.Duration
	// SignsFrom is when it may sign; zero until it was seen in every bundle.
	SignsFrom time.Time
	// Found is set where the authority was met in a bundle and nowhere else:
	// somebody may have signed with it until then.
	Found time.Time
}

// ErrNoKey is returned by [Authority.Issue] where the key is not known.
var ErrNoKey = errors.New("the authority's key is not known")

// NewAuthority makes a self-signed certificate authority. Its subject is the
// name and its serial number, since authorities that overlap must differ.
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
	certificate, err := create(random, template, template, key, key)
	if err != nil {
		return Authority{}, fmt.Errorf("create authority certificate: %w", err)
	}
	return Authority{Certificate: certificate, Key: key, Leaf: policy.Leaf}, nil
}

// Issue signs a serving certificate for names, which are DNS names or IP
// addresses. It never outlives the authority.
//
// now must have been read before the authorities were: then every leaf expires
// within a leaf's life of the moment its authority stopped being the signer,
// however long the process was paused in between.
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
	leaf, err := create(random, template, a.Certificate, key, a.Key)
	if err != nil {
		return nil, fmt.Errorf("create leaf certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func create(random io.Reader, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(random, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial is 127 random bits: RFC 5280 wants it positive and at most 20 bytes.
func newSerial(random io.Reader) (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
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
