// Package sigv4 signs requests to AWS (Signature Version 4). It knows the four ways in
// which a pod is given credentials, and nothing else of AWS.
package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// NewTransport returns a transport that signs requests to a service in a region, and
// sends them by base.
func NewTransport(credentials aws.CredentialsProvider, region, service string, base http.RoundTripper) http.RoundTripper {
	return transport{credentials: credentials, region: region, service: service, signer: v4.NewSigner(), base: base}
}

type transport struct {
	credentials     aws.CredentialsProvider
	region, service string
	signer          *v4.Signer
	base            http.RoundTripper
}

// RoundTrip signs a copy: a request belongs to its caller.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	credentials, err := t.credentials.Retrieve(r.Context())
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	signed := r.Clone(r.Context())
	signed.Body, signed.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	sum := sha256.Sum256(body)
	if err := t.signer.SignHTTP(r.Context(), credentials, signed, hex.EncodeToString(sum[:]), t.service, t.region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	return t.base.RoundTrip(signed)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }()
	return io.ReadAll(r.Body)
}
