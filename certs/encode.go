package certs

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY" // PKCS #8
)

// record is the stored form of an authority.
type record struct {
	Certificate string    `json:"certificate"`
	Key         string    `json:"key,omitempty"`
	Leaf        string    `json:"leafLifetime"`
	SignsFrom   time.Time `json:"signsFrom,omitzero"`
	Found       time.Time `json:"found,omitzero"`
}

// Encode returns the authorities and their private keys as JSON. The text is secret.
func (as Authorities) Encode() ([]byte, error) {
	records := make([]record, 0, len(as))
	for _, a := range as {
		r := record{
			Certificate: string(Bundle{a.Certificate}.PEM()),
			Leaf:        a.Leaf.String(), SignsFrom: a.SignsFrom.UTC(), Found: a.Found.UTC(),
		}
		if a.Key != nil {
			der, err := x509.MarshalPKCS8PrivateKey(a.Key)
			if err != nil {
				return nil, fmt.Errorf("encode key of %s: %w", a.Certificate.Subject, err)
			}
			r.Key = string(pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: der}))
		}
		records = append(records, r)
	}
	return json.MarshalIndent(records, "", "  ")
}

// Decode reads the output of Encode. If parts are damaged it returns the usable
// authorities and an error that names the damaged ones. An authority with a damaged
// key is returned without its key. The error never quotes the text, which is secret.
func Decode(text []byte) (Authorities, error) {
	var records []record
	if err := json.Unmarshal(text, &records); err != nil {
		return nil, errors.New("decode authorities: invalid JSON")
	}
	var as Authorities
	var problems []error
	for i, r := range records {
		a, err := r.authority()
		if err != nil {
			problems = append(problems, fmt.Errorf("decode authority %d: %w", i, err))
		}
		if a.Certificate != nil {
			as = append(as, a)
		}
	}
	return as, errors.Join(problems...)
}

func (r record) authority() (Authority, error) {
	bundle := ParseBundle([]byte(r.Certificate))
	leaf, err := time.ParseDuration(r.Leaf)
	if len(bundle) != 1 || err != nil {
		return Authority{}, errors.New("certificate or leaf lifetime is missing")
	}
	a := Authority{Certificate: bundle[0], Leaf: leaf, SignsFrom: r.SignsFrom, Found: r.Found}
	if r.Key == "" {
		return a, nil
	}
	block, _ := pem.Decode([]byte(r.Key))
	if block == nil {
		return a, errors.New("key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || !key.PublicKey.Equal(a.Certificate.PublicKey) {
		return a, errors.New("key does not match the certificate")
	}
	a.Key = key
	return a, nil
}
