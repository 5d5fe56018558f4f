package sidecar_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	ledgerapi "github.com/nova/novawire/api/ledger"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
)

func TestTelemetry_Metrics(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC)...)
	if got := p.get("/health"); got != http.StatusOK {
		t.Errorf("/health answers %d", got)
	}
	app := newClient(t, p.otlp)
	_ = app.send(app.spans(10, 0))
	eventually(t, "the spans are exported", func() bool { return p.metric(`novawire_sidecar_exported_total{signal="traces"}`) == 10 })
	for series, want := range map[string]int64{
		`novawire_sidecar_accepted_total{signal="traces"}`:                     10,
		`novawire_sidecar_dropped_total{signal="logs",reason="queue_full"}`:    0,
		`novawire_sidecar_refused_total{signal="metrics",reason="memory"}`:     0,
		`novawire_sidecar_queue_bytes{signal="traces"}`:                        0,
		`novawire_sidecar_queue_limit_bytes{signal="traces"}`:                  4 << 20,
		`novawire_sidecar_mistakes`:                                            0,
		`novawire_sidecar_refused_requests_total{signal="x",reason="too_big"}`: -1,
	} {
		if got := p.metric(series); got != want {
			t.Errorf("%s is %d, want %d", series, got, want)
		}
	}
}

// The port that monitoring reads may be another's: telemetry goes on.
func TestTelemetry_AddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	backend := receiver(t, fakeotlp.Options{})
	p := launchOnly(t, append(to(backend, sidecarapi.ProtocolGRPC), "NOVAWIRE_METRICS_LISTEN="+taken.Addr().String())...)
	app := newClient(t, p.otlp)
	eventually(t, "spans are taken", func() bool { return app.send(app.spans(1, 0)) == nil })
	app.refused.Store(0) // before it listened
	reconcile(t, app, p.stop()["traces"], backend, "traces")
	if !strings.Contains(p.log(), "metrics address is in use; will retry") {
		t.Errorf("the port is not told:\n%s", p.log())
	}
}

// The manager reads the ledger while the sidecar runs, and waits for the final one of a pod
// that is about to end.
func TestTelemetry_Ledger(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(request int) fakeotlp.Fault {
		if request < 2 {
			return fakeotlp.Fault{Refuse: fakeotlp.Busy}
		}
		return fakeotlp.Fault{}
	})
	p := start(t, append(to(backend, sidecarapi.ProtocolGRPC), sidecarapi.EnvPodUID+"=uid-1")...)
	app := newClient(t, p.otlp)
	final := make(chan ledgerapi.Message, 1)
	go func() { final <- p.ledger("?" + ledgerapi.Final) }()
	_ = app.send(app.spans(10, 0))
	if m := p.ledger(""); !m.Running || m.Pod != "uid-1" || m.Started == "" || m.Ledger["traces"].Accepted != 10 || m.Ledger["traces"].AcceptedBytes == 0 {
		t.Errorf("running: %+v", m)
	}
	e := p.stop()["traces"]
	if diff := cmp.Diff(e, (<-final).Ledger["traces"]); diff != "" || e.Exported != 10 || e.ExportedBytes < e.AcceptedBytes {
		t.Errorf("final: %+v, -termination message +answer:\n%s", e, diff)
	}
}

// ledger reads the ledger; the zero value if it is not served.
func (p *process) ledger(query string) (m ledgerapi.Message) {
	response, err := http.Get("http://" + p.status + ledgerapi.Path + query)
	if err != nil {
		return m
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	m, _ = ledgerapi.ParseMessage(text)
	return m
}

// A kill leaves the ledger in the termination message: what was taken is known, and what
// the sidecar held.
func TestLedger_Killed(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC)...)
	app := newClient(t, p.otlp)
	_ = app.send(app.spans(10, 0))
	eventually(t, "the spans are exported", func() bool { return p.metric(`novawire_sidecar_exported_total{signal="traces"}`) == 10 })
	backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
	_ = app.send(app.spans(7, 0))
	p.end(syscall.SIGKILL)
	text, err := os.ReadFile(p.terminationFile)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ledgerapi.ParseMessage(text)
	if e := m.Ledger["traces"]; err != nil || !m.Running || e.Accepted != 17 || e.Exported != 10 || e.Balance() != 7 {
		t.Errorf("%v: %s", err, text)
	}
}
