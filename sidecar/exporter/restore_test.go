package exporter

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What an exporter leaves is sent by the next one, and the account goes on.
func TestExporter_Restores(t *testing.T) {
	dir := t.TempDir()
	away := true
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) bool {
		if away {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return !away
	})
	with := func(c *Config) { c.StorageDir, c.DrainTimeout = dir, 50*time.Millisecond }
	first := start(t, b.URL, "http/protobuf", with)
	first.send(t, "a", "b")
	first.eventually(t, "delivery fails", func() bool { return first.line("delivery failed; will retry") != nil })
	first.send(t, "c")
	_ = first.Shutdown(t.Context())
	if e := first.entry(); e.Stored != 3 || len(e.Dropped) != 0 {
		t.Errorf("the ledger has %+v", e)
	}
	away = false
	second := start(t, b.URL, "http/protobuf", with)
	second.eventually(t, "the spans are exported", func() bool { return second.entry().Exported == 3 })
	if e := second.entry(); e.Accepted != 3 {
		t.Errorf("the ledger has %+v", e)
	}
	if line := second.line("queue restored"); line["requests"] != int64(2) {
		t.Errorf("logged %v", line)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, b.spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	_ = second.Shutdown(t.Context())
	third := start(t, b.URL, "http/protobuf", with)
	if e := third.entry(); e.Exported != 3 || e.Accepted != 3 {
		t.Errorf("the ledger has %+v", e)
	}
}

// A queue that was made smaller drops its oldest items when it is restored.
func TestExporter_RestoresIntoLess(t *testing.T) {
	dir := t.TempDir()
	first := start(t, "http://127.0.0.1:1", "http/protobuf", func(c *Config) { c.StorageDir, c.DrainTimeout = dir, 0 })
	for range 3 {
		first.send(t, strings.Repeat("x", 1000))
	}
	_ = first.Shutdown(t.Context())
	second := start(t, "http://127.0.0.1:1", "http/protobuf", func(c *Config) {
		c.StorageDir, c.DrainTimeout, c.QueueBytes, c.Batch.Bytes = dir, 0, 2500, 2000
	})
	if e := second.entry(); e.Dropped["queue_full"] != 1 {
		t.Errorf("the ledger has %+v", e)
	}
	_ = second.Shutdown(t.Context())
	if e := second.entry(); e.Stored != 2 || e.Accepted != 3 {
		t.Errorf("the ledger has %+v", e)
	}
	third := start(t, "http://127.0.0.1:1", "http/protobuf", func(c *Config) { c.StorageDir, c.DrainTimeout = dir, 0 })
	_ = third.Shutdown(t.Context())
	if e := third.entry(); e.Stored != 2 || e.Dropped["queue_full"] != 1 {
		t.Errorf("the ledger of the next has %+v", e)
	}
}

// While the backend is away, the file is as small as is documented, and what is dropped is
// in the account of the next run.
func TestExporter_StorageOfAnOutage(t *testing.T) {
	dir := t.TempDir()
	with := func(c *Config) {
		c.StorageDir, c.DrainTimeout, c.QueueBytes, c.Batch.Bytes, c.Batch.ItemBytes = dir, 0, 2500, 2000, 1100
	}
	first := start(t, "http://127.0.0.1:1", "http/protobuf", with)
	for range 100 {
		first.send(t, strings.Repeat("x", 1000))
		if info, err := os.Stat(filepath.Join(dir, "traces.journal")); err != nil || info.Size() > 2*2500 {
			t.Fatalf("the journal has %d bytes, %v; want twice the queue at most", info.Size(), err)
		}
	}
	first.send(t, strings.Repeat("x", 1500), strings.Repeat("y", 1500))
	_ = first.Shutdown(t.Context())
	second := start(t, "http://127.0.0.1:1", "http/protobuf", with)
	_ = second.Shutdown(t.Context())
	if e := second.entry(); e.Stored+e.Dropped["queue_full"] != 100 || e.Dropped["oversize"] != 2 || e.Accepted != 102 {
		t.Errorf("the ledger has %+v", e)
	}
}

// A journal that failed is tried again when a batch is decided about.
func TestExporter_StorageRecoversWithABatch(t *testing.T) {
	dir := t.TempDir()
	slow := func(context.Context, int, request) result { time.Sleep(storageRetry); return result{} }
	inTime(t, nil, slow, func(t *testing.T, e *timed) {
		j := open(t, filepath.Join(dir, "traces.journal"))
		_ = j.Close()
		e.signalExporter.mu.Lock()
		e.storage.journal, e.storage.limit = j, 4000
		e.signalExporter.mu.Unlock()
		e.push(spans(5)) // is not written
		time.Sleep(time.Minute)
		e.signalExporter.mu.Lock()
		defer e.signalExporter.mu.Unlock()
		if !e.storage.failed.IsZero() {
			t.Error("it is not tried again")
		}
	})
}

// A damaged journal is told with what was lost, and is whole again afterwards.
func TestExporter_RestoresFromDamage(t *testing.T) {
	dir := t.TempDir()
	with := func(c *Config) { c.StorageDir, c.DrainTimeout = dir, 0 }
	first := start(t, "http://127.0.0.1:1", "http/protobuf", with)
	for range 3 {
		first.send(t, "span")
	}
	_ = first.Shutdown(t.Context())
	path := filepath.Join(dir, "traces.journal")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[bytes.Index(content, []byte("span"))] ^= 0xff
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, "http://127.0.0.1:1", "http/protobuf", with)
	if line := second.line("storage is damaged; what could not be read is lost"); line["records"] != int64(1) || line["bytes"] == int64(0) {
		t.Errorf("logged %v", line)
	}
	_ = second.Shutdown(t.Context())
	third := start(t, "http://127.0.0.1:1", "http/protobuf", with)
	if third.line("storage is damaged; what could not be read is lost") != nil {
		t.Error("the damage is told again")
	}
	_ = third.Shutdown(t.Context())
	if e := third.entry(); e.Stored != 2 || e.Accepted != 2 {
		t.Errorf("the ledger has %+v", e)
	}
}

func TestExporter_StorageOfAnother(t *testing.T) {
	dir := t.TempDir()
	with := func(c *Config) { c.StorageDir, c.DrainTimeout = dir, 0 }
	_ = start(t, "http://127.0.0.1:1", "http/protobuf", with)
	second := start(t, "http://127.0.0.1:1", "http/protobuf", with)
	if second.line("storage cannot be used; the queue is in memory alone") == nil {
		t.Errorf("logged %v", second.logs.All())
	}
	second.send(t, "span")
	_ = second.Shutdown(t.Context())
	if e := second.entry(); e.Dropped["shutdown"] != 1 || e.Stored != 0 {
		t.Errorf("the ledger has %+v", e)
	}
}
