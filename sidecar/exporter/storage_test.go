package exporter

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/nova/novawire/sidecar/journal"
	"github.com/nova/novawire/sidecar/ledger"
)

// stored is a storage with a queue, and what it logged.
type stored struct {
	storage
	queue *queue
	path  string
	logs  *observer.ObservedLogs
}

func newStored(t *testing.T, limit int64) *stored {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s := &stored{path: filepath.Join(t.TempDir(), "traces.journal"), queue: &queue{limit: 1 << 20}, logs: logs}
	s.storage = storage{logger: zap.New(core), journal: open(t, s.path), limit: limit}
	return s
}

func open(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (s *stored) push(count int, body string) (id uint64) {
	i := item{body: []byte(body), count: count}
	i.id = s.append(count, i.body)
	s.queue.push(i)
	return i.id
}

// kept is what a next process finds: the account, and the items of each record.
func (s *stored) kept(t *testing.T) (totals ledger.Totals, items []int) {
	t.Helper()
	_ = s.journal.Close()
	j := open(t, s.path)
	defer j.Close()
	totals, left := j.Replayed()
	for _, r := range left {
		items = append(items, r.Items)
	}
	return totals, items
}

func (s *stored) lines(message string) int { return s.logs.FilterMessage(message).Len() }

const (
	cannotWrite = "storage cannot be written; new items are in memory alone until it can"
	canWrite    = "storage can be written again"
)

func TestStorage_KeepsWhatIsNotSettled(t *testing.T) {
	s := newStored(t, 1<<20)
	for count := 1; count <= 5; count++ {
		if id := s.push(count, "body"); id != uint64(count) {
			t.Fatalf("item %d is record %d", count, id)
		}
	}
	taken := s.queue.take(batchLimits{bytes: 10, items: 10}) // 1 and 2
	s.settle(taken, ledger.Totals{Exported: 2, Dropped: dropped(ledger.Rejected, 1).Dropped})
	s.queue.ack()
	s.note(dropped(ledger.Oversize, 7))
	in, left := s.close(s.queue)
	if in != 3+4+5 || left != 0 {
		t.Errorf("stored %d, left %d", in, left)
	}
	totals, items := s.kept(t)
	want := ledger.Totals{Accepted: 15 + 7, Exported: 2}
	want.Dropped[ledger.Rejected], want.Dropped[ledger.Oversize] = 1, 7
	if diff := cmp.Diff(want, totals); diff != "" || !cmp.Equal(items, []int{3, 4, 5}) {
		t.Errorf("left %v, totals (-want +got):\n%s", items, diff)
	}
}

// While the journal cannot be written, what is in it stays, new items are in memory, and
// it is tried again.
func TestStorage_FailsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStored(t, 1<<20)
		s.push(1, "first")
		_ = s.journal.Close() // from now on it cannot be written
		for range 2 {
			if id := s.push(2, "second"); id != 0 {
				t.Errorf("an item that is not written is record %d", id)
			}
		}
		s.note(dropped(ledger.Oversize, 1))
		if s.lines(cannotWrite) != 1 || s.failed.IsZero() {
			t.Errorf("logged %v", s.logs.All())
		}
		time.Sleep(storageRetry - 1)
		s.maintain(s.queue)
		if s.failed.IsZero() {
			t.Error("tried again before its time")
		}
		time.Sleep(time.Nanosecond)
		if err := os.Mkdir(s.path+".new", 0o700); err != nil { // still it cannot
			t.Fatal(err)
		}
		s.maintain(s.queue)
		if s.failed != time.Now() || s.lines(canWrite) != 0 || s.lines(cannotWrite) != 1 {
			t.Errorf("failed last at %s, logged %v", s.failed, s.logs.All())
		}
		if err := os.Remove(s.path + ".new"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(storageRetry)
		s.maintain(s.queue)
		if !s.failed.IsZero() || s.lines(canWrite) != 1 {
			t.Errorf("logged %v", s.logs.All())
		}
		for i := range s.queue.all {
			if i.id == 0 {
				t.Errorf("%s is no record", i.body)
			}
		}
		if id := s.push(3, "third"); id == 0 {
			t.Error("a later item is not written")
		}
		s.maintain(s.queue) // the journal is small
		if _, items := s.kept(t); !cmp.Equal(items, []int{1, 2, 2, 3}) {
			t.Errorf("kept %v", items)
		}
	})
}

// Whatever is written first, its failure is told.
func TestStorage_EveryWriteMayFail(t *testing.T) {
	for name, write := range map[string]func(s *stored){
		"an item":              func(s *stored) { s.append(1, []byte("x")) },
		"an outcome":           func(s *stored) { s.settle([]item{{id: 1, count: 1}}, ledger.Totals{Exported: 1}) },
		"an outcome of no one": func(s *stored) { s.note(dropped(ledger.Oversize, 1)) },
		"a rewrite": func(s *stored) {
			s.limit = 1
			if err := os.Mkdir(s.path+".new", 0o700); err == nil {
				s.maintain(s.queue)
			}
		},
	} {
		s := newStored(t, 1<<20)
		s.push(1, "first")
		_ = s.journal.Close()
		write(s)
		if s.lines(cannotWrite) != 1 {
			t.Errorf("%s: logged %v", name, s.logs.All())
		}
	}
}

// Outcomes are of the items that they are given for, and of no earlier ones.
func TestStorage_SettlesInAnyOrder(t *testing.T) {
	s := newStored(t, 1<<20)
	for count := 1; count <= 5; count++ {
		s.push(count, "body")
	}
	s.settle(s.queue.waiting[2:4], ledger.Totals{Exported: 7})
	s.queue.waiting = append(s.queue.waiting[:2:2], s.queue.waiting[4])
	s.rewrite(s.queue)                                         // numbers the others anew
	s.settle(s.queue.waiting[1:2], ledger.Totals{Exported: 2}) // the second
	if totals, items := s.kept(t); totals.Exported != 9 || !cmp.Equal(items, []int{1, 5}) {
		t.Errorf("kept %+v and %v", totals, items)
	}
}

// The end of a healthy journal changes nothing in it.
func TestStorage_CloseWritesNothing(t *testing.T) {
	s := newStored(t, 1<<20)
	s.push(1, "first")
	s.settle(s.queue.take(batchLimits{bytes: 1, items: 1}), ledger.Totals{Exported: 1})
	s.queue.ack()
	s.push(2, "second")
	before, _ := os.ReadFile(s.path)
	s.close(s.queue)
	if after, _ := os.ReadFile(s.path); !bytes.Equal(before, after) {
		t.Errorf("%d bytes after, %d before", len(after), len(before))
	}
}

// At the end it is tried once more; what has no place then is left, and counted.
func TestStorage_FailsAtTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end          func(t *testing.T, s *stored)
		stored, left int
		kept         []int
	}{
		"it can be written by now": {func(*testing.T, *stored) {}, 3, 0, []int{1, 2}},
		"it cannot": {func(t *testing.T, s *stored) {
			if err := os.Mkdir(s.path+".new", 0o700); err != nil {
				t.Fatal(err)
			}
		}, 1, 2, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStored(t, 1<<20)
			s.push(1, "first")
			s.failed = time.Now()
			s.push(2, "second")
			c.end(t, s)
			if stored, left := s.close(s.queue); stored != c.stored || left != c.left {
				t.Errorf("stored %d, left %d, want %d and %d", stored, left, c.stored, c.left)
			}
			if totals, items := s.kept(t); !cmp.Equal(items, c.kept) || totals.Dropped[ledger.Shutdown] != int64(c.left) {
				t.Errorf("kept %v and %+v", items, totals)
			}
		})
	}
}

// The journal is rewritten when it has twice the bytes of the queue, not before.
func TestStorage_Rewrites(t *testing.T) {
	s := newStored(t, 1000)
	body := strings.Repeat("x", 100)
	rewritten := 0
	for range 100 {
		s.push(1, body)
		s.settle(s.queue.take(batchLimits{bytes: 1, items: 1}), ledger.Totals{Exported: 1})
		s.queue.ack()
		grown := s.journal.Size()
		s.maintain(s.queue)
		switch after := s.journal.Size(); {
		case after < grown && grown <= 2000:
			t.Fatalf("rewritten at %d bytes", grown)
		case after >= grown && grown > 2000:
			t.Fatalf("not rewritten at %d bytes", grown)
		case after < grown:
			rewritten++
		}
	}
	s.limit = s.journal.Size() / 2
	if s.journal.Size()%2 != 0 { // a byte more makes it even
		s.append(1, []byte(body+"x"))
		s.settle([]item{{id: 101}}, ledger.Totals{Exported: 1})
		s.limit = s.journal.Size() / 2
	}
	if s.journal.Size()%2 != 0 {
		t.Fatal("the journal has an odd size")
	}
	before := s.journal.Size()
	if s.maintain(s.queue); s.journal.Size() != before {
		t.Error("rewritten at exactly twice the bytes of the queue")
	}
	if rewritten < 3 {
		t.Errorf("rewritten %d times", rewritten)
	}
	if totals, items := s.kept(t); totals.Exported < 100 || totals.Accepted != totals.Exported || len(items) != 0 {
		t.Errorf("kept %+v and %v", totals, items)
	}
}

func TestStorage_None(t *testing.T) {
	s := storage{logger: zap.NewNop()}
	q := &queue{limit: 1 << 20}
	q.push(of(5, 10))
	if id := s.append(1, nil); id != 0 {
		t.Errorf("record %d", id)
	}
	s.settle(nil, ledger.Totals{})
	s.note(ledger.Totals{})
	s.maintain(q)
	if stored, left := s.close(q); stored != 0 || left != 5 {
		t.Errorf("stored %d, left %d", stored, left)
	}
}
