package exporter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc/credentials"
)

// TLS names the files of a connection. They are read for each new one, so a
// certificate that is rotated needs no restart.
type TLS struct {
	CAFile   string `mapstructure:"ca_file"` // empty: the system's authorities
	CertFile string `mapstructure:"cert_file"`
	KeyFile  string `mapstructure:"key_file"`
}

func (t TLS) load(serverName string) (*tls.Config, error) {
	config := &tls.Config{ServerName: serverName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		bundle, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("read authorities: no certificate in %s", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// dial is the transport's for https.
func (t TLS) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config, err := t.load(host)
	if err != nil {
		return nil, err
	}
	dialer := tls.Dialer{Config: config}
	return dialer.DialContext(ctx, network, address)
}

// rpcTLS is gRPC's side of the same.
type rpcTLS struct {
	files TLS
	credentials.TransportCredentials
}

func newRPCTLS(files TLS) credentials.TransportCredentials {
	return rpcTLS{files: files, TransportCredentials: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})}
}

func (t rpcTLS) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	config, err := t.files.load(host)
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
}

func (t rpcTLS) Clone() credentials.TransportCredentials { return newRPCTLS(t.files) }
