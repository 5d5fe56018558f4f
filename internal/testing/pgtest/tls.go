package pgtest

import (
	"encoding/binary"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TLS turns TLS on, with a certificate and key as PEM.
func (p *Postgres) TLS(t testing.TB, cert, key string) {
	t.Helper()
	for name, content := range map[string]string{"server.crt": cert, "server.key": key} {
		install := exec.CommandContext(t.Context(), "/bin/sh", "-c", `umask 077; cat > "$1"`, "sh", filepath.Join(p.data(), name))
		install.Dir = p.dir
		if err := Unprivileged(install); err != nil { // the key has to belong to the server
			t.Fatal(err)
		}
		stdin, err := install.StdinPipe()
		if err == nil {
			err = install.Start()
		}
		if err == nil {
			_, err = io.WriteString(stdin, content)
			_ = stdin.Close()
		}
		if err == nil {
			err = install.Wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p.Exec(t, "postgres", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	Eventually(t, "the server speaks TLS", 20*time.Second, func() bool {
		return p.Value(t, "postgres", "SELECT current_setting('ssl')") == "on"
	})
}

// DowngradeProxy passes connections to a server on. From a certain one on it answers that
// the server has no TLS, as an attacker in the network can.
type DowngradeProxy struct {
	Port string
	// Allowed is how many connections are passed on unchanged.
	Allowed atomic.Int64
	// Connections counts all connections, Plain those on which a client has sent anything
	// without TLS.
	Connections, Plain atomic.Int64
}

// NewDowngradeProxy starts a proxy before the server.
func NewDowngradeProxy(t testing.TB, to *Postgres) *DowngradeProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed by the clean-up
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	p := &DowngradeProxy{Port: port}
	var connections sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		connections.Wait()
	})
	connections.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { p.serve(client, to.Port) })
		}
	})
	return p
}

// Codes of the first message of a connection (src/include/libpq/pqcomm.h).
const (
	sslRequest    = 80877103
	cancelRequest = 80877102
)

func (p *DowngradeProxy) serve(client net.Conn, port string) {
	defer client.Close()
	first := make([]byte, 8)
	if _, err := io.ReadFull(client, first); err != nil {
		return
	}
	code := binary.BigEndian.Uint32(first[4:])
	if code != cancelRequest && p.Connections.Add(1) > p.Allowed.Load() {
		if code == sslRequest {
			_, _ = client.Write([]byte{'N'})
			if n, _ := client.Read(first); n == 0 {
				return
			}
		}
		p.Plain.Add(1)
		return
	}
	server, err := net.Dial("tcp", "127.0.0.1:"+port) //nolint:noctx // ends with the client
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := server.Write(first); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}
