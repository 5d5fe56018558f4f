package sidecar_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/sidecar/ledger"
)

func TestReceiver_EveryForm(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC)...)
	app := newClient(t, p.otlp)
	_ = app.send(app.spans(1, 0))
	_ = app.post(app.spans(1, 0))
	text := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"json"}]}]}]}`
	_ = app.count(1, app.postBody("traces", "application/json; charset=utf-8", []byte(text)))
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, _ = zip.Write([]byte(strings.Replace(text, "174", "175", 1)))
	_ = zip.Close()
	request, _ := http.NewRequest(http.MethodPost, "http://"+p.otlp+"/v1/traces", &zipped)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Content-Encoding", "gzip")
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("gzip: %v %v", response, err)
	}
	app.accepted.Add(1)
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	if e.Exported != 4 {
		t.Errorf("exported %d, want 4", e.Exported)
	}
}

// Whatever is sent, the sidecar stays and says what it did not take.
func TestReceiver_Refuses(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC)...)
	app := newClient(t, p.otlp)
	for name, send := range map[string]func() error{
		"garbage by HTTP":        func() error { return app.postBody("traces", "application/x-protobuf", []byte("garbage")) },
		"garbage as JSON":        func() error { return app.postBody("traces", "application/json", []byte("{")) },
		"another content type":   func() error { return app.postBody("traces", "text/plain", []byte("x")) },
		"too much by HTTP":       func() error { return app.postBody("traces", "application/x-protobuf", make([]byte, 21<<20)) },
		"too much by gRPC":       func() error { return app.send(app.spans(42, 500_000)) },
		"a signal nobody has":    func() error { return app.postBody("profiles", "application/x-protobuf", nil) },
		"a connection of no one": func() error { return silent(p.otlp) },
	} {
		if err := send(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	app.refused.Store(0) // of requests, whose items nobody can count
	_ = app.send(app.spans(10, 0))
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	if e.RefusedRequests[ledger.Malformed.String()] != 2 || e.RefusedRequests[ledger.Unsupported.String()] != 1 || e.RefusedRequests[ledger.TooBig.String()] != 2 {
		t.Errorf("refused requests: %v, want 2 malformed, 1 unsupported and 2 too big", e.RefusedRequests)
	}
}

// silent speaks no protocol of ours.
func silent(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("\x16\x03\x01\x02\x00hello\r\n\r\n")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1)) // the web server answers 400 and hangs up
	if err == nil {
		err = net.ErrClosed
	}
	return err
}

// An address that the application itself has is told and waited for.
func TestReceiver_AddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	backend := receiver(t, fakeotlp.Options{})
	free := freeAddress(t)
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_LISTEN="+taken.Addr().String()+","+free)...)
	app := newClient(t, free)
	_ = app.send(app.spans(10, 0))
	reconcile(t, app, p.stop()["traces"], backend, "traces")
	if !strings.Contains(p.log(), "address is in use; will retry") {
		t.Errorf("the address is not told:\n%s", p.log())
	}
}

// A burst of the largest requests, from more senders than there is memory for,
// waits with them; what is then too much for the queue is dropped and counted.
func TestReceiver_Bursts(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, fmt.Sprint("GOMEMLIMIT=", container/5*4))...)
	app := newClient(t, p.otlp)
	burst(p, app, 24, 3, 9000, 150) // of some 3.5 MB each
	if peak := p.memory("VmHWM") - p.memory("RssFile"); peak > container {
		t.Errorf("memory peaked at %d bytes, the container has %d", peak, container)
	}
	backend.Misbehave(nil)
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	if known := e.Accepted + sum(e.Refused); known != 24*3*9000 {
		t.Errorf("the ledger knows of %d, sent were %d", known, 24*3*9000)
	}
	drops(t, e, ledger.QueueFull.String())
}

// Where even that does not help, what is refused is counted, and the sidecar stays.
func TestReceiver_MemoryShort(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Delay: 20 * time.Millisecond} })
	p := start(t, to(backend, sidecarapi.ProtocolHTTP, "GOMEMLIMIT=6MiB")...)
	app := newClient(t, p.otlp)
	for range 20 {
		burst(p, app, 8, 5, 1000, 1000)
		if app.refused.Load() > 0 {
			break
		}
	}
	e := p.stop()["traces"]
	app.refused.Add(-1000 * e.RefusedRequests[ledger.Busy.String()]) // counted as requests
	reconcile(t, app, e, backend, "traces")
	if e.Refused[ledger.Memory.String()] == 0 {
		t.Errorf("nothing is refused for memory: %+v", e)
	}
}

// burst sends from many connections at once, each request made beforehand.
func burst(p *process, app *client, senders, requests, spans, padding int) {
	var (
		sending       sync.WaitGroup
		senderClients []*client
	)
	for range senders {
		own := newClient(p.t, p.otlp)
		senderClients = append(senderClients, own)
		sending.Go(func() {
			for range requests {
				_ = own.send(app.spans(spans, padding))
			}
		})
	}
	sending.Wait()
	for _, own := range senderClients {
		app.accepted.Add(own.accepted.Load())
		app.refused.Add(own.refused.Load())
	}
}
