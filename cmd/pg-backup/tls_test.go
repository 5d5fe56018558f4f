package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// authority issues certificates of servers.
type authority struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	cert    *x509.Certificate
	Bundle  string // file of its certificate
	serials int64
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, key: key, cert: cert, Bundle: write(t, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), serials: 1}
}

// issue returns certificate and key of a server with a name, as PEM.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serials++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serials), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
}

// Sessions of ours, pg_dump, pg_dumpall and pg_restore all verify the server, or none of
// them connects.
func TestConnection_TLS(t *testing.T) {
	trusted, other := newAuthority(t, "trusted"), newAuthority(t, "other")
	pg := pgtest.NewPostgres(t)
	pg.Exec(t, "postgres", "CREATE DATABASE d", "CREATE ROLE app LOGIN")
	pg.Exec(t, "d", append(social, grown("big", 80)...)...)
	useCertificate := func(server *pgtest.Postgres, by *authority, name string) {
		cert, key := by.issue(name)
		server.TLS(t, cert, key)
	}
	useCertificate(pg, trusted, "localhost")
	url := func(port, parameters string) string {
		return "postgres://" + pgtest.Superuser + "@localhost:" + port + "/?connect_timeout=10" + parameters
	}
	verified := "&sslmode=verify-full&sslrootcert=" + trusted.Bundle

	t.Run("every process connects to a server that it can verify", func(t *testing.T) {
		for name, env := range map[string][]string{
			"by the URL":         {"DATABASE_URL", url(pg.Port, verified)},
			"by PG… variables":   {"DATABASE_URL", url(pg.Port, ""), "PGSSLMODE", "verify-full", "PGSSLROOTCERT", trusted.Bundle},
			"by a service file":  {"DATABASE_URL", url(pg.Port, "&service=tls"), "PGSERVICEFILE", write(t, "services", "[tls]\nsslmode=verify-full\nsslrootcert="+trusted.Bundle+"\n")},
			"by the home folder": {"DATABASE_URL", url(pg.Port, "&sslmode=verify-full"), "HOME", homeWith(t, trusted.Bundle)},
		} {
			t.Run(name, func(t *testing.T) {
				b := environmentOn(t, pg).with(env...)
				if o := b.must("run", "--dry-run", "--databases", "d"); !strings.Contains(o.stdout+o.stderr, "sslmode=verify-full") {
					t.Errorf("the dry run does not show the mode:\n%s", o.stdout)
				}
				b.must("run", "--databases", "d")
				b.must("restore", "--database", "d", "--to", "back", "--globals")
				b.must("check", "--database", "d", "--to", "back")
				pg.Exec(t, "postgres", "DROP DATABASE back")
			})
		}
	})

	good := environmentOn(t, pg).with("DATABASE_URL", url(pg.Port, verified))
	good.must("run", "--databases", "d")
	plain := pgtest.NewPostgres(t)
	plain.Exec(t, "postgres", "CREATE DATABASE d")
	forged := pgtest.NewPostgres(t)
	forged.Exec(t, "postgres", "CREATE DATABASE d")
	useCertificate(forged, other, "localhost")
	named := pgtest.NewPostgres(t)
	named.Exec(t, "postgres", "CREATE DATABASE d")
	useCertificate(named, trusted, "elsewhere.example")
	for name, server := range map[string]*pgtest.Postgres{"has no TLS": plain, "has a certificate of another authority": forged, "has a certificate of another name": named} {
		b := good.with("DATABASE_URL", url(server.Port, verified))
		for _, args := range [][]string{
			{"run", "--databases", "d"},
			{"run"},
			{"run", "--dry-run", "--databases", "d"},
			{"restore", "--database", "d", "--to", "back"},
			{"restore", "--database", "d", "--to", "back", "--globals"},
			{"check", "--database", "d"},
		} {
			t.Run("a server that "+name+" is refused by "+strings.Join(args, " "), func(t *testing.T) {
				b.fails(backupapi.CategorySource, args...)
				if got := server.Value(t, "postgres", "SELECT count(*)::text FROM pg_database WHERE datname = 'back'"); got != "0" {
					t.Error("a database was created")
				}
			})
		}
	}
	for name, args := range map[string][]string{
		"run": {"run", "--databases", "d"}, "restore": {"restore", "--database", "d", "--to", "back", "--globals"}, "check": {"check", "--database", "d"},
	} {
		t.Run("an attacker cannot downgrade any connection of "+name, func(t *testing.T) {
			proxy := pgtest.NewDowngradeProxy(t, pg)
			b := good.with("DATABASE_URL", url(proxy.Port, verified))
			proxy.Allowed.Store(1000)
			b.must(args...)
			all := proxy.Connections.Load()
			if all < 2 {
				t.Fatalf("only %d connections", all)
			}
			for allowed := range all {
				pg.Exec(t, "postgres", "DROP DATABASE IF EXISTS back")
				proxy.Connections.Store(0)
				proxy.Allowed.Store(allowed)
				b.fails(backupapi.CategorySource, args...)
			}
			pg.Exec(t, "postgres", "DROP DATABASE IF EXISTS back")
			if n := proxy.Plain.Load(); n > 0 {
				t.Errorf("%d clients went on without TLS", n)
			}
		})
	}
}

// homeWith returns a home folder with a root certificate.
func homeWith(t *testing.T, bundle string) string {
	t.Helper()
	home := t.TempDir()
	content, err := os.ReadFile(bundle)
	if err == nil {
		err = os.MkdirAll(filepath.Join(home, ".postgresql"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(home, ".postgresql", "root.crt"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return home
}
