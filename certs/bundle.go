package certs

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
)

// Bundle is the set of certificates that a client trusts.
type Bundle []*x509.Certificate

// ParseBundle returns the certificates among the PEM blocks in text. It ignores
// everything else, as clients do.
func ParseBundle(text []byte) Bundle {
	var bundle Bundle
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return bundle
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == blockCertificate {
			bundle = append(bundle, certificate)
		}
	}
}

// PEM returns the bundle in PEM format, in order.
func (b Bundle) PEM() []byte {
	var text []byte
	for _, certificate := range b {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: certificate.Raw})...)
	}
	return text
}

// Contains reports whether the certificate is in the bundle.
func (b Bundle) Contains(certificate *x509.Certificate) bool {
	return slices.ContainsFunc(b, certificate.Equal)
}

// Pool returns the bundle as a pool for certificate verification.
func (b Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, certificate := range b {
		pool.AddCert(certificate)
	}
	return pool
}
