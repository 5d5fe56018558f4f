package sidecar_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

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
