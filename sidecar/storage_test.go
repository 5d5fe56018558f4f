package sidecar_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	sent := int64(0)
	for range 5 {
		backend.Misbehave(nil)
		p := start(t, to(backend, sidecarapi.ProtocolGRPC, storage)...)
		app := newClient(t, p.otlp)
		app.next.Store(uint64(1_000_000 * len(apps)))
		apps = append(apps, app)
		send := func() {
			for range 5 {
				_ = app.send(app.spans(20, 100))
			}
			sent += 100
		}
		send()
		eventually(t, "all arrives and is settled", func() bool { return p.metric(`novawire_sidecar_exported_total{signal="traces"}`) == sent })
		backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
		send() // this stays behind
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
	e := start(t, to(backend, sidecarapi.ProtocolGRPC, storage)...).stop()["traces"]
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

// onSmallDisk runs the sidecar in a mount namespace of its own, with a disk of the given
// size at dir. The folder is reached from outside through /proc.
func onSmallDisk(t *testing.T, dir, size string, environment ...string) (p *process, outside string) {
	t.Helper()
	p = launchBy(t, func(path string) *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-c", `mount -t tmpfs -o size="$1" none "$2" && exec "$3"`, "sh", size, dir, path)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		return cmd
	}, append(environment, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")...)
	eventually(t, "the sidecar is ready", func() bool { return p.get("/ready") == http.StatusOK })
	return p, fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, dir)
}

// A full disk costs nothing that was accepted: what is in the journal stays in it, what
// is new is in memory, and both are delivered when the backend is back.
func TestStorage_FullDisk(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
	dir := t.TempDir()
	p, outside := onSmallDisk(t, dir, "8m", to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_STORAGE_DIR="+dir)...)
	app := newClient(t, p.otlp)
	send := func(n int) {
		for range n {
			if err := app.send(app.spans(10, 1000)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(10)
	if err := fill(filepath.Join(outside, "fill")); err != nil {
		t.Fatal(err)
	}
	send(50)
	if !strings.Contains(p.log(), "storage cannot be written") || !strings.Contains(p.log(), "no space left on device") {
		t.Fatalf("the log does not say that the disk is full:\n%s", p.log())
	}
	if info, err := os.Stat(filepath.Join(outside, "traces.journal")); err != nil || info.Size() < 100_000 {
		t.Errorf("the journal with accepted requests is gone, or cut: %v", err)
	}
	if _, err := os.Stat(filepath.Join(outside, "traces.journal.new")); err == nil {
		t.Error("an unfinished rewrite lies on a full disk")
	}
	if err := os.Remove(filepath.Join(outside, "fill")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "storage works again", func() bool {
		_ = app.send(app.spans(1, 0))
		return strings.Contains(p.log(), "storage can be written again")
	})
	saved, err := os.ReadFile(filepath.Join(outside, "traces.journal"))
	if err != nil {
		t.Fatal(err)
	}
	p.end(syscall.SIGKILL) // now everything is in the journal again

	next := t.TempDir()
	if err := os.WriteFile(filepath.Join(next, "traces.journal"), saved, 0o600); err != nil {
		t.Fatal(err)
	}
	backend.Misbehave(nil)
	e := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_STORAGE_DIR="+next)...).stop()["traces"]
	reconcile(t, app, e, backend, "traces")
	drops(t, e)
}

// fill writes until there is no space.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, 4096)
	for {
		if _, err := file.Write(block); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// The files of a queue have at most the documented size, however much goes through.
func TestStorage_MaximumOnDisk(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	dir := t.TempDir()
	p := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_STORAGE_DIR="+dir, "NOVAWIRE_QUEUE_SIZE=256Ki")...)
	app := newClient(t, p.otlp)
	for range 300 {
		_ = app.send(app.spans(10, 1000))
		var all int64
		for _, name := range []string{"traces.journal", "traces.journal.new"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
				all += info.Size()
			}
		}
		if all > 3*(256<<10)+64<<10 {
			t.Fatalf("the files have %d bytes, want at most three times the queue", all)
		}
	}
	reconcile(t, app, p.stop()["traces"], backend, "traces")
}

// A damaged journal is told, with what was lost; the rest is delivered.
func TestStorage_Damaged(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
	dir := t.TempDir()
	environment := to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_STORAGE_DIR="+dir)
	p := start(t, environment...)
	app := newClient(t, p.otlp)
	for range 3 {
		_ = app.send(app.spans(10, 0))
	}
	p.end(syscall.SIGKILL)
	path := filepath.Join(dir, "traces.journal")
	journal, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	journal[100] ^= 0xff // in the first record
	if err := os.WriteFile(path, journal, 0o600); err != nil {
		t.Fatal(err)
	}
	backend.Misbehave(nil)
	p = start(t, environment...)
	e := p.stop()["traces"]
	if e.Accepted != 20 || e.Exported != 20 || len(backend.Taken("traces")) != 20 {
		t.Errorf("the ledger has %+v, want the 20 of two records", e)
	}
	if !strings.Contains(p.log(), `"level":"WARN"`) || !strings.Contains(p.log(), "storage is damaged; what could not be read is lost") {
		t.Errorf("the damage is not logged:\n%s", p.log())
	}
}
