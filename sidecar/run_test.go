package sidecar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/sidecar"
	"github.com/nova/novawire/sidecar/ledger"
)

// The sidecar within the test's own process, for the race detector, with
// senders of all signals at once; and it leaves no goroutine behind.
func TestRun(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(request int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Refusal(request % 2)} })
	otlp, status := freeAddress(t), freeAddress(t)
	environment := map[string]string{
		sidecarapi.EnvEndpoint: "http://" + backend.GRPC(), sidecarapi.EnvListen: otlp, sidecarapi.EnvMetricsListen: status,
		sidecarapi.EnvFlushInterval: "10ms", sidecarapi.EnvTerminationFile: filepath.Join(t.TempDir(), "none"),
		sidecarapi.EnvStorageDir: t.TempDir(), sidecarapi.EnvQueueSize: "64Mi",
		"GOMEMLIMIT": "", "GOMAXPROCS": "", // set: the sidecar leaves this process as it is
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	var out lines
	ended := make(chan error, 1)
	go func() {
		ended <- sidecar.Run(ctx, func(name string) (string, bool) { value, ok := environment[name]; return value, ok }, &out)
	}()
	eventually(t, "the sidecar is ready", func() bool {
		response, err := http.Get("http://" + status + "/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	apps := map[string]*client{"traces": newClient(t, otlp), "metrics": newClient(t, otlp), "logs": newClient(t, otlp)}
	var sending sync.WaitGroup
	for range 4 {
		for range 20 {
			sending.Go(func() { _ = apps["traces"].send(apps["traces"].spans(5, 0)) })
			sending.Go(func() { _ = apps["traces"].post(apps["traces"].spans(5, 0)) })
			sending.Go(func() { _ = apps["metrics"].points(5) })
			sending.Go(func() { _ = apps["logs"].records(5) })
		}
		sending.Wait()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var line struct{ Ledger map[string]ledger.Entry }
	if err := json.Unmarshal(out.last(), &line); err != nil {
		t.Fatal(err)
	}
	for signal, app := range apps {
		reconcile(t, app, line.Ledger[signal], backend, signal)
		app.conn.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	backend.Close()
	eventually(t, "every goroutine has ended", func() bool { return runtime.NumGoroutine() <= before })
}

// lines collects output that is written at any time.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) last() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := bytes.Split(bytes.TrimSpace([]byte(l.text.String())), []byte("\n"))
	return all[len(all)-1]
}
