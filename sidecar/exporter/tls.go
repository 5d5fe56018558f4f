package exporter

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"google.golang.org/grpc/credentials"
)

// TLS names the files of a connection. They are read again and again, so a
// certificate that is rotated needs no restart.
type TLS struct {
	CAFile   string `yaml:"ca_file,omitempty"` // empty: the system's authorities
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// material is the content of the files.
type material struct{ ca, cert, key []byte }

func (m material) equal(other material) bool {
	return bytes.Equal(m.ca, other.ca) && bytes.Equal(m.cert, other.cert) && bytes.Equal(m.key, other.key)
}

func (t TLS) read() (m material, err error) {
	for _, file := range []struct {
		path string
		to   *[]byte
	}{{t.CAFile, &m.ca}, {t.CertFile, &m.cert}, {t.KeyFile, &m.key}} {
		if file.path == "" {
			continue
		}
		if *file.to, err = os.ReadFile(file.path); err != nil {
			return m, fmt.Errorf("read TLS file: %w", err)
		}
	}
	return m, nil
}

// config returns the settings of connections. The server's name is for the dialer to
// set.
func (t TLS) config(m material) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(m.ca) {
			return nil, fmt.Errorf("read authorities: no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.X509KeyPair(m.cert, m.key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// reloadingTransport makes a new transport when the files have changed. The TLS
// settings are the transport's own, so that they hold on every path: direct, and
// through a proxy.
type reloadingTransport struct {
	files     TLS
	transport func(*tls.Config) *http.Transport

	mu      sync.Mutex
	loaded  material
	current *http.Transport
}

func (t *reloadingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	current, err := t.load()
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return current.RoundTrip(r)
}

func (t *reloadingTransport) load() (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, err := t.files.read()
	if err != nil {
		return nil, err
	}
	if t.current != nil && t.loaded.equal(m) {
		return t.current, nil
	}
	config, err := t.files.config(m)
	if err != nil {
		return nil, err
	}
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
	t.loaded, t.current = m, t.transport(config)
	return t.current, nil
}

func (t *reloadingTransport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
}

// reloadingCredentials read the files for each new connection of gRPC.
type reloadingCredentials struct {
	files TLS
	credentials.TransportCredentials
}

func newReloadingCredentials(files TLS) credentials.TransportCredentials {
	return reloadingCredentials{files: files, TransportCredentials: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})}
}

func (c reloadingCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	m, err := c.files.read()
	if err != nil {
		return nil, nil, err
	}
	config, err := c.files.config(m)
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
}

func (c reloadingCredentials) Clone() credentials.TransportCredentials {
	return newReloadingCredentials(c.files)
}
