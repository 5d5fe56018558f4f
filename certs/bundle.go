package certs

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
)

// Bundle is the set of certificates that a client trusts.
type Bundle []*x509.Certificate

// ParseBundle reads PEM blocks and passes over what is no certificate, as
// clients do.
func ParseBundle(text []byte) Bundle {
	var bundle Bundle
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return bundle
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == typeCertificate {
			bundle = append(bundle, certificate)
		}
	}
}

// PEM is the bundle as clients read it, in the bundle's order.
func (b Bundle) PEM() []byte {
	var text []byte
	for _, certificate := range b {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: certificate.Raw})...)
	}
	return text
}

// Holds tells whether the certificate is in the bundle.
func (b Bundle) Holds(certificate *x509.Certificate) bool {
	return slices.ContainsFunc(b, certificate.Equal)
}

// Pool is the bundle in the form that verification takes.
func (b Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, certificate := range b {
		pool.AddCert(certificate)
	}
	return pool
}
