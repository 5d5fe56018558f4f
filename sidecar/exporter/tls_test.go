package exporter

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/nova/novawire/sidecar/ledger"
)

// authority issues one certificate, for loopback, for servers and clients.
type authority struct {
	pool *x509.CertPool
	leaf tls.Certificate
	ca   []byte // in PEM
	cert []byte
	key  []byte
}

func newAuthority(t *testing.T) (a authority) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	a.ca, a.pool = a.cert, x509.NewCertPool()
	a.pool.AppendCertsFromPEM(a.ca)
	a.leaf, err = tls.X509KeyPair(a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// files writes PEM files; nil: the file is not named.
func files(t *testing.T, ca, cert, key []byte) (f TLS) {
	t.Helper()
	dir := t.TempDir()
	for name, file := range map[string]struct {
		content []byte
		path    *string
	}{"ca.crt": {ca, &f.CAFile}, "tls.crt": {cert, &f.CertFile}, "tls.key": {key, &f.KeyFile}} {
		if file.content == nil {
			continue
		}
		*file.path = filepath.Join(dir, name)
		if err := os.WriteFile(*file.path, file.content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// secureBackends are a backend by HTTP and one by gRPC that demand a certificate.
func secureBackends(t *testing.T, a authority, opened *atomic.Int64) map[string]string {
	t.Helper()
	demand := &tls.Config{Certificates: []tls.Certificate{a.leaf}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	byHTTP := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	byHTTP.TLS = demand.Clone()
	byHTTP.Config.ErrorLog = log.New(io.Discard, "", 0)
	byHTTP.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	byHTTP.StartTLS()
	t.Cleanup(byHTTP.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	byGRPC := grpc.NewServer(grpc.Creds(credentials.NewTLS(demand)))
	ptraceotlp.RegisterGRPCServer(byGRPC, &grpcBackend{decide: func(ptraceotlp.ExportRequest) error { return nil }})
	go func() { _ = byGRPC.Serve(listener) }()
	t.Cleanup(byGRPC.Stop)
	return map[string]string{"http/protobuf": byHTTP.URL, "grpc": "https://" + listener.Addr().String()}
}

func (f TLS) sender(t *testing.T, protocol, url string) sender {
	t.Helper()
	s, err := newSender(&Config{Protocol: protocol, TLS: f}, Target{URL: URL(url)}, ledger.Traces, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func TestTLS_Files(t *testing.T) {
	const byBackend = "by the backend"
	ours, theirs := newAuthority(t), newAuthority(t)
	cases := map[string]struct {
		files TLS
		want  string // in the error, of which a backend's may be that of a broken connection; empty: exported
	}{
		"ours":                               {files(t, ours.ca, ours.cert, ours.key), ""},
		"another's authority":                {files(t, theirs.ca, ours.cert, ours.key), "certificate signed by unknown authority"},
		"the system's authorities":           {files(t, nil, ours.cert, ours.key), "certificate signed by unknown authority"},
		"another's certificate":              {files(t, ours.ca, theirs.cert, theirs.key), byBackend},
		"no certificate":                     {files(t, ours.ca, nil, nil), byBackend},
		"an authority without a certificate": {files(t, []byte("x"), nil, nil), "no certificate in"},
		"a key of another":                   {files(t, ours.ca, ours.cert, theirs.key), "read client certificate"},
		"an authority that is missing":       {TLS{CAFile: filepath.Join(t.TempDir(), "missing")}, "read TLS file"},
		"a certificate that is missing":      {TLS{CertFile: filepath.Join(t.TempDir(), "missing")}, "read TLS file"},
		"a key that is missing":              {TLS{CertFile: files(t, nil, ours.cert, nil).CertFile, KeyFile: filepath.Join(t.TempDir(), "missing")}, "read TLS file"},
	}
	for protocol, url := range secureBackends(t, ours, new(atomic.Int64)) {
		for name, c := range cases {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				got := c.files.sender(t, protocol, url).send(ctx, request{bodies: [][]byte{encode("span")}, items: 1})
				if c.want == "" && got.outcome != exported || c.want != "" && got.outcome != retryable {
					t.Fatalf("got %+v", got)
				}
				if c.want != "" && c.want != byBackend && !strings.Contains(got.err.Error(), c.want) {
					t.Errorf("the error is %q, want %q", got.err, c.want)
				}
			})
		}
	}
}

// Files that change are used from the next request on; while they do not, a connection is
// kept.
func TestTLS_FilesChange(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	var opened atomic.Int64
	url := secureBackends(t, ours, &opened)["http/protobuf"]
	f := files(t, ours.ca, ours.cert, ours.key)
	s := f.sender(t, "http/protobuf", url)
	send := func(want outcome) {
		t.Helper()
		if got := s.send(t.Context(), request{bodies: [][]byte{encode("span")}, items: 1}); got.outcome != want {
			t.Fatalf("got %+v, want %d", got, want)
		}
	}
	send(exported)
	send(exported)
	if got := opened.Load(); got != 1 {
		t.Errorf("%d connections for two requests", got)
	}
	for _, file := range []struct {
		path        string
		bad, good   []byte
		connections int64
	}{
		{f.CAFile, theirs.ca, ours.ca, 2}, {f.KeyFile, theirs.key, ours.key, 1}, {f.CertFile, theirs.cert, ours.cert, 1},
	} {
		before := opened.Load()
		if err := os.WriteFile(file.path, file.bad, 0o600); err != nil {
			t.Fatal(err)
		}
		send(retryable)
		if err := os.WriteFile(file.path, file.good, 0o600); err != nil {
			t.Fatal(err)
		}
		send(exported)
		send(exported)
		if got := opened.Load() - before; got > file.connections {
			t.Errorf("%d connections after a change, want %d", got, file.connections)
		}
	}
}

// Credentials that are cloned, as gRPC does, read the files too.
func TestTLS_Clone(t *testing.T) {
	ours := newAuthority(t)
	c := newReloadingCredentials(files(t, ours.ca, ours.cert, ours.key)).Clone()
	client, server := net.Pipe()
	go func() {
		conn := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{ours.leaf}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
		_ = conn.HandshakeContext(t.Context())
	}()
	if _, _, err := c.ClientHandshake(t.Context(), "127.0.0.1", client); err != nil {
		t.Error(err)
	}
}
