package sidecar_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/sidecar/ledger"
)

// proxy is an HTTP proxy that connects whatever host it is asked for to one address:
// Go uses no proxy for loopback, so backends behind it have a name.
type proxy struct {
	address string
	used    atomic.Int64
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := listenLoopback()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	p := &proxy{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn, target)
		}
	}()
	return p
}

func (p *proxy) serve(conn net.Conn, target string) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	p.used.Add(1)
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer to.Close()
	if request.Method == http.MethodConnect {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	} else if request.Write(to) != nil { // a plain request, and its answer
		return
	}
	go func() {
		_, _ = io.Copy(to, reader)
		to.Close()
	}()
	_, _ = io.Copy(conn, to)
}

// The TLS settings hold on every path to the backend.
func TestTLS_EveryPath(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	type files struct{ ca, client *authority }
	cases := map[string]struct {
		files    files
		exported bool
	}{
		"our authority and our certificate":           {files{&ours, &ours}, true},
		"another's authority":                         {files{&theirs, &ours}, false},
		"another's certificate":                       {files{&ours, &theirs}, false},
		"no certificate":                              {files{&ours, nil}, false},
		"no authority: the system's does not know us": {files{nil, &ours}, false},
	}
	for _, protocol := range []sidecarapi.Protocol{sidecarapi.ProtocolGRPC, sidecarapi.ProtocolHTTP} {
		for _, path := range []string{"direct", "through a proxy"} {
			for name, c := range cases {
				t.Run(string(protocol)+"/"+path+"/"+name, func(t *testing.T) {
					t.Parallel()
					demand := ours.demand()
					demand.Certificates = []tls.Certificate{ours.leafFor(x509.ExtKeyUsageServerAuth, "backend.test")}
					backend := receiver(t, fakeotlp.Options{TLS: demand})
					environment := to(backend, protocol)
					environment[0] = strings.Replace(environment[0], "http://", "https://", 1)
					var through *proxy
					if path != "direct" {
						target := backend.GRPC()
						if protocol == sidecarapi.ProtocolHTTP {
							target = backend.HTTP()
						}
						through = startProxy(t, target)
						environment[0] = "NOVAWIRE_ENDPOINT=https://backend.test:443"
						environment = append(environment, "HTTPS_PROXY=http://"+through.address)
					}
					if c.files.ca != nil {
						dir := t.TempDir()
						c.files.ca.install(dir)
						environment = append(environment, "NOVAWIRE_CA_FILE="+dir+"/ca.crt")
					}
					if c.files.client != nil {
						dir := t.TempDir()
						c.files.client.install(dir)
						environment = append(environment, "NOVAWIRE_CERT_FILE="+dir+"/tls.crt", "NOVAWIRE_KEY_FILE="+dir+"/tls.key")
					}
					if !c.exported {
						environment = append(environment, "NOVAWIRE_DRAIN_TIMEOUT=100ms")
					}
					p := start(t, environment...)
					app := newClient(t, p.otlp)
					_ = app.send(app.spans(10, 0))
					if c.exported {
						e := p.stop()["traces"]
						reconcile(t, app, e, backend, "traces")
						drops(t, e)
					} else {
						eventually(t, "the log says why", func() bool { return strings.Contains(p.log(), "delivery failed; will retry") })
						drops(t, p.stop()["traces"], ledger.Shutdown.String())
						if len(backend.Taken("traces")) != 0 {
							t.Error("the backend took spans")
						}
					}
					if through != nil && through.used.Load() == 0 {
						t.Error("the proxy was not used")
					}
				})
			}
		}
	}
}

// docs/sidecar.md says which proxy variables are used.
func TestProxy_Variables(t *testing.T) {
	cases := map[string]struct {
		protocol sidecarapi.Protocol
		variable string
		used     bool
	}{
		"HTTP_PROXY for http by HTTP":             {sidecarapi.ProtocolHTTP, "HTTP_PROXY=http://%", true},
		"HTTPS_PROXY is not for http by HTTP":     {sidecarapi.ProtocolHTTP, "HTTPS_PROXY=http://%", false},
		"HTTPS_PROXY for gRPC, also without TLS":  {sidecarapi.ProtocolGRPC, "HTTPS_PROXY=http://%", true},
		"HTTP_PROXY is not for gRPC":              {sidecarapi.ProtocolGRPC, "HTTP_PROXY=http://%", false},
		"lower case is the same":                  {sidecarapi.ProtocolHTTP, "http_proxy=http://%", true},
		"NO_PROXY excepts a host":                 {sidecarapi.ProtocolHTTP, "HTTP_PROXY=http://%\nNO_PROXY=backend.test", false},
		"NO_PROXY excepts a host of gRPC as well": {sidecarapi.ProtocolGRPC, "HTTPS_PROXY=http://%\nNO_PROXY=.test", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := receiver(t, fakeotlp.Options{})
			target := backend.GRPC()
			if c.protocol == sidecarapi.ProtocolHTTP {
				target = backend.HTTP()
			}
			through := startProxy(t, target)
			environment := to(backend, c.protocol)
			environment[0] = "NOVAWIRE_ENDPOINT=http://backend.test:80"
			if !c.used {
				environment = append(environment, "NOVAWIRE_DRAIN_TIMEOUT=100ms")
			}
			environment = append(environment, strings.Split(strings.ReplaceAll(c.variable, "%", through.address), "\n")...)
			p := start(t, environment...)
			app := newClient(t, p.otlp)
			_ = app.send(app.spans(10, 0))
			if !c.used { // the host has no address but the proxy's
				eventually(t, "delivery fails", func() bool { return strings.Contains(p.log(), "delivery failed; will retry") })
			}
			e := p.stop()["traces"]
			if used := through.used.Load() > 0; used != c.used || (e.Exported == 10) != c.used {
				t.Errorf("the proxy was used: %v, want %v; the ledger has %+v\n%s", used, c.used, e, p.log())
			}
		})
	}
}
