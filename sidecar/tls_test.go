package sidecar_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
)

// authority issues certificates for loopback.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{t: t}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true}
	a.cert, a.key = a.sign(template, nil)
	return a
}

func (a authority) sign(template *x509.Certificate, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a authority) leaf(use x509.ExtKeyUsage) tls.Certificate { return a.leafFor(use) }

func (a authority) leafFor(use x509.ExtKeyUsage, names ...string) tls.Certificate {
	cert, key := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}, a.cert)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a authority) write(path, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// install writes the files that a sidecar is pointed at.
func (a authority) install(dir string) {
	a.t.Helper()
	client := a.leaf(x509.ExtKeyUsageClientAuth)
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(filepath.Join(dir, "ca.crt"), "CERTIFICATE", a.cert.Raw)
	a.write(filepath.Join(dir, "tls.crt"), "CERTIFICATE", client.Certificate[0])
	a.write(filepath.Join(dir, "tls.key"), "PRIVATE KEY", key)
}

func (a authority) demand() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.leaf(x509.ExtKeyUsageServerAuth)}, ClientCAs: a.pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
	}
}

// The gateway's authority and the pod's certificate change while the sidecar
// runs: it goes on without a restart, and what came in between is not lost.
func TestTLS_Rotation(t *testing.T) {
	for _, protocol := range []sidecarapi.Protocol{sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			dir, first, second := t.TempDir(), newAuthority(t), newAuthority(t)
			first.install(dir)
			demands := make(chan *tls.Config, 1)
			demands <- first.demand()
			current := func(*tls.ClientHelloInfo) (*tls.Config, error) {
				c := <-demands
				demands <- c
				return c, nil
			}
			backend := receiver(t, fakeotlp.Options{TLS: &tls.Config{GetConfigForClient: current, Certificates: first.demand().Certificates, NextProtos: []string{"h2", "http/1.1"}}})
			environment := to(backend, protocol, "NOVAWIRE_CA_FILE="+dir+"/ca.crt", "NOVAWIRE_CERT_FILE="+dir+"/tls.crt", "NOVAWIRE_KEY_FILE="+dir+"/tls.key")
			environment[0] = strings.Replace(environment[0], "http://", "https://", 1)
			p := start(t, environment...)
			app := newClient(t, p.otlp)
			_ = app.send(app.spans(10, 0))
			eventually(t, "the first spans arrive", func() bool { return len(backend.Taken("traces")) == 10 })

			<-demands
			demands <- second.demand()
			backend.Misbehave(func(request int) fakeotlp.Fault { return fakeotlp.Fault{Reset: request == 0} })
			_ = app.send(app.spans(10, 0))
			eventually(t, "the sidecar meets the new authority", func() bool { return p.metric(`novawire_sidecar_retries_total{signal="traces"}`) > 0 })
			if taken := len(backend.Taken("traces")); taken != 10 {
				t.Errorf("the backend took %d from a sidecar of the old authority, want the first 10", taken)
			}
			second.install(dir)
			e := p.stop()["traces"]
			reconcile(t, app, e, backend, "traces")
			drops(t, e)
			if e.Exported != 20 {
				t.Errorf("exported %d, want 20", e.Exported)
			}
		})
	}
}
