package sidecar_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/sidecar/ledger"
)

// A killed sidecar leaves its queue and its account to the next one.
func TestStorage_Killed(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	storage := "NOVAWIRE_STORAGE_DIR=" + t.TempDir()
	apps := []*client{}
	for range 5 {
		taken := len(backend.Taken("traces"))
		backend.Misbehave(func(request int) fakeotlp.Fault {
			if request < 2 {
				return fakeotlp.Fault{}
			}
			return fakeotlp.Fault{Refuse: fakeotlp.Busy} // some of each life stays behind
		})
		p := start(t, to(backend, sidecarapi.ProtocolGRPC, storage)...)
		app := newClient(t, p.otlp)
		app.next.Store(uint64(1_000_000 * len(apps)))
		apps = append(apps, app)
		for range 10 {
			_ = app.send(app.spans(20, 100))
		}
		eventually(t, "something arrives and is settled", func() bool {
			arrived := len(backend.Taken("traces"))
			return arrived > taken && p.metric(`novawire_sidecar_exported_total{signal="traces"}`) == int64(arrived)
		})
		p.end(syscall.SIGKILL)
	}
	backend.Misbehave(nil)
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, storage)...)
	e := p.stop()["traces"]

	total := newClient(t, p.otlp)
	for _, app := range apps {
		total.accepted.Add(app.accepted.Load())
	}
	if want := int64(5 * 200); total.accepted.Load() != want || e.Exported != want {
		t.Errorf("sent %d, accepted %d, exported %d: want all", want, total.accepted.Load(), e.Exported)
	}
	reconcile(t, total, e, backend, "traces")
	drops(t, e)
}

// Killed in the midst of traffic, again and again: what an application was told
// is taken arrives.
func TestStorage_KilledInTraffic(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	storage := "NOVAWIRE_STORAGE_DIR=" + t.TempDir()
	var (
		mu    sync.Mutex
		taken []string // spans that their application was told are taken
		ids   atomic.Uint64
		sent  int
	)
	for range 4 {
		p := start(t, to(backend, sidecarapi.ProtocolGRPC, storage, "NOVAWIRE_FLUSH_INTERVAL=10ms")...)
		var sending sync.WaitGroup
		var told atomic.Int64
		for range 4 {
			app := newClient(t, p.otlp)
			sending.Go(func() {
				for {
					app.next.Store(ids.Add(10))
					td := app.spans(10, 0)
					err := app.send(td)
					mu.Lock()
					sent += 10
					for _, span := range td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
						if err == nil {
							taken = append(taken, span.SpanID().String())
						}
					}
					mu.Unlock()
					if err != nil {
						return
					}
					told.Add(10)
				}
			})
		}
		eventually(t, "traffic flows", func() bool { return told.Load() > 2000 })
		p.end(syscall.SIGKILL)
		sending.Wait()
	}
	e := start(t, to(backend, sidecarapi.ProtocolGRPC, storage, "NOVAWIRE_DRAIN_TIMEOUT=20s")...).stop()["traces"]
	arrived := backend.Taken("traces")
	for _, id := range taken {
		if arrived[id] == 0 {
			t.Fatalf("span %s was taken and did not arrive", id)
		}
	}
	// The account may know of spans whose sender was not told before the kill.
	if e.Exported != int64(len(arrived)) || e.Accepted < int64(len(taken)) || e.Accepted > int64(sent) {
		t.Errorf("told %d of %d sent, %d arrived; the ledger: %+v", len(taken), sent, len(arrived), e)
	}
}

func TestStorage_KeepsUndrainedQueue(t *testing.T) {
	t.Parallel()
	for _, signal := range []string{"traces", "metrics", "logs"} {
		t.Run(signal, func(t *testing.T) {
			backend := receiver(t, fakeotlp.Options{})
			environment := to(backend, sidecarapi.ProtocolHTTP, "NOVAWIRE_STORAGE_DIR="+t.TempDir(), "NOVAWIRE_DRAIN_TIMEOUT=100ms")
			backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
			p := start(t, environment...)
			app := newClient(t, p.otlp)
			for range 3 {
				switch signal {
				case "traces":
					_ = app.send(app.spans(10, 0))
				case "metrics":
					_ = app.points(10)
				case "logs":
					_ = app.records(10)
				}
			}
			if e := p.stop()[signal]; e.Stored != 30 || e.Accepted != 30 {
				t.Errorf("stored %d of %d, want 30 of 30", e.Stored, e.Accepted)
			}
			backend.Misbehave(nil)
			e := start(t, environment...).stop()[signal]
			reconcile(t, app, e, backend, signal)
			drops(t, e)
		})
	}
}

func TestStorage_Unusable(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_STORAGE_DIR="+file+"/below")...)
	app := newClient(t, p.otlp)
	_ = app.send(app.spans(10, 0))
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	if e.Exported != 10 {
		t.Errorf("exported %d, want 10", e.Exported)
	}
}

// The queue gives up its oldest for the newest, and memory stays bounded.
func TestQueue_OutageDropsOldest(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_QUEUE_SIZE=256Ki")...)
	app := newClient(t, p.otlp)
	for range 200 {
		_ = app.send(app.spans(10, 1000)) // some 2.3 MB in all
	}
	if queued := p.metric(`novawire_sidecar_queue_bytes{signal="traces"}`); queued > 256<<10 {
		t.Errorf("%d bytes are queued, limit is %d", queued, 256<<10)
	}
	backend.Misbehave(nil)
	e := p.stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	drops(t, e, ledger.QueueFull.String())
	taken := backend.Taken("traces")
	for id := uint64(2000); id > 1950; id-- {
		if taken[fmt.Sprintf("%016x", id)] == 0 {
			t.Fatalf("span %d of 2000, one of the newest, did not arrive", id)
		}
	}
}
