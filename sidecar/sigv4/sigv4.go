// Package sigv4 signs requests to AWS (Signature Version 4), as an
// authenticator of the collector's HTTP clients. It knows the four ways in
// which a pod is given credentials, and nothing else of AWS.
package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionauth"
)

// Config is what the extension is told.
type Config struct {
	Region  string `mapstructure:"region"`
	Service string `mapstructure:"service"` // the signing name: xray, logs, monitoring
}

// Validate refuses what no request can be signed with.
func (c *Config) Validate() error {
	if c.Region == "" || c.Service == "" {
		return errors.New("region and service must be set")
	}
	return nil
}

// Type is the extension's name in a configuration.
var Type = component.MustNewType("sigv4")

// NewFactory makes signers that share the credentials.
func NewFactory(credentials aws.CredentialsProvider) extension.Factory {
	return extension.NewFactory(Type, func() component.Config { return &Config{} },
		func(_ context.Context, _ extension.Settings, cfg component.Config) (extension.Extension, error) {
			return &signer{config: cfg.(*Config), credentials: credentials, sign: v4.NewSigner()}, nil
		}, component.StabilityLevelStable)
}

type signer struct {
	component.StartFunc
	component.ShutdownFunc
	config      *Config
	credentials aws.CredentialsProvider
	sign        *v4.Signer
}

var _ extensionauth.HTTPClient = (*signer)(nil)

// RoundTripper signs what goes through base.
func (s *signer) RoundTripper(base http.RoundTripper) (http.RoundTripper, error) {
	return roundTripper{signer: s, base: base}, nil
}

type roundTripper struct {
	*signer
	base http.RoundTripper
}

// RoundTrip signs a copy: a request belongs to its caller.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
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
	if err := t.sign.SignHTTP(r.Context(), credentials, signed, hex.EncodeToString(sum[:]), t.config.Service, t.config.Region, time.Now()); err != nil {
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
