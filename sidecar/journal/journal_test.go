package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/sidecar/ledger"
)

func mustOpen(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dropped(why ledger.Reason, items int64) (by [6]int64) {
	by[why] = items
	return by
}

// history writes a journal in which every kind of record occurs.
func history(t *testing.T, path string) {
	t.Helper()
	j := mustOpen(t, path)
	ids := map[int]uint64{}
	for items := 1; items <= 6; items++ {
		ids[items] = must(j.Append(items, bytes.Repeat([]byte{byte(items)}, items)))(t)
	}
	check(t, j.Settle(ids[1], ids[2], ledger.Totals{Exported: 2, Dropped: dropped(ledger.Rejected, 1)}))
	check(t, j.Settle(ids[4], ids[4], ledger.Totals{Dropped: dropped(ledger.QueueFull, 4)}))
	check(t, j.Note(ledger.Totals{Dropped: dropped(ledger.Oversize, 1)}))
	check(t, j.Close())
}

var (
	wantTotals = ledger.Totals{Accepted: 22, Exported: 2, Dropped: [6]int64{ledger.Rejected: 1, ledger.QueueFull: 4, ledger.Oversize: 1}}
	wantLeft   = []Record{
		{ID: 3, Items: 3, Body: []byte{3, 3, 3}},
		{ID: 5, Items: 5, Body: []byte{5, 5, 5, 5, 5}},
		{ID: 6, Items: 6, Body: []byte{6, 6, 6, 6, 6, 6}},
	}
)

func renumbered(records []Record, first uint64) []Record {
	again := slices.Clone(records)
	for i := range again {
		again[i].ID = first + uint64(i)
	}
	return again
}

func compare(t *testing.T, j *Journal) {
	t.Helper()
	compareFrom(t, j, wantLeft)
}

func compareFrom(t *testing.T, j *Journal, wantLeft []Record) {
	t.Helper()
	totals, left := j.Replayed()
	if diff := cmp.Diff(wantTotals, totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantLeft, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestJournal_Replay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	history(t, path)
	j := mustOpen(t, path)
	compare(t, j)
	if id := must(j.Append(1, nil))(t); id != 7 {
		t.Errorf("the next record is %d, want 7", id)
	}
}

func TestJournal_Rewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	history(t, path)
	j := mustOpen(t, path)
	_, left := j.Replayed()
	before := j.Size()
	first := must(j.Rewrite(left))(t)
	if first != 7 {
		t.Errorf("records are numbered from %d, want from 7", first)
	}
	if j.Size() >= before {
		t.Errorf("%d bytes after, %d before", j.Size(), before)
	}
	check(t, j.Close())
	compareFrom(t, mustOpen(t, path), renumbered(wantLeft, first))
}

// A killed process may leave any part of its last record.
func TestJournal_CutsUnfinishedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	history(t, path)
	whole := must(os.ReadFile(path))(t)
	j := mustOpen(t, path)
	must(j.Append(9, bytes.Repeat([]byte{9}, 100)))(t)
	check(t, j.Close())
	more := must(os.ReadFile(path))(t)
	for end := len(whole); end < len(more); end++ {
		check(t, os.WriteFile(path, more[:end], 0o600))
		j := mustOpen(t, path)
		compare(t, j)
		if j.Size() != int64(len(whole)) || j.Cut() != int64(end-len(whole)) {
			t.Errorf("cut at %d: size is %d, want %d; cut is %d", end, j.Size(), len(whole), j.Cut())
		}
		check(t, j.Close())
	}
}

func TestJournal_Lock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	j := mustOpen(t, path)
	if _, err := Open(path); err == nil {
		t.Error("a journal that is open is opened again")
	}
	must(j.Rewrite(nil))(t)
	if _, err := Open(path); err == nil {
		t.Error("a journal that was rewritten is opened again")
	}
	check(t, j.Close())
	mustOpen(t, path)
}

// Whatever a disk holds: no panic, and what is read can be read again.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	j, _ := Open(path)
	_, _ = j.Append(3, []byte("body"))
	_ = j.Settle(1, 1, ledger.Totals{Exported: 3})
	_ = j.Note(ledger.Totals{Dropped: dropped(ledger.Oversize, 1)})
	_ = j.Close()
	seed, _ := os.ReadFile(path)
	f.Add(seed)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 'A'})
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		check(t, os.WriteFile(path, content, 0o600))
		j, err := Open(path)
		if err != nil {
			return
		}
		_, left := j.Replayed()
		check(t, j.Close())
		_, again := mustOpen(t, path).Replayed()
		if diff := cmp.Diff(left, again); diff != "" {
			t.Errorf("a second reading differs:\n%s", diff)
		}
	})
}

// A disk that broke a record in the middle costs that record, and says so.
func TestJournal_Damage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	j := mustOpen(t, path)
	var begins []int64
	for items := 1; items <= 4; items++ {
		begins = append(begins, j.Size())
		must(j.Append(items, bytes.Repeat([]byte{byte(items)}, 100)))(t)
	}
	end := j.Size()
	check(t, j.Close())
	whole := must(os.ReadFile(path))(t)
	cases := map[string]struct {
		at   int64
		bits byte
		left []int // items of the records that are left
		want Damage
		cut  bool
	}{
		"in a body":                  {begins[1] + 50, 0xff, []int{1, 3, 4}, Damage{Records: 1, Bytes: begins[2] - begins[1]}, false},
		"in a checksum":              {begins[0] + 5, 0xff, []int{2, 3, 4}, Damage{Records: 1, Bytes: begins[1]}, false},
		"in the last body":           {end - 1, 0xff, []int{1, 2, 3}, Damage{Records: 1, Bytes: end - begins[3]}, false},
		"in a length: all after it":  {begins[1] + 3, 0xff, []int{1}, Damage{Records: 1, Bytes: end - begins[1]}, false},
		"in a length: past the end":  {begins[1] + 2, 0x01, []int{1}, Damage{}, true},
		"in the number of the items": {begins[3] + frameHead + 9, 0x40, []int{1, 2, 3}, Damage{Records: 1, Bytes: end - begins[3]}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			broken := bytes.Clone(whole)
			broken[c.at] ^= c.bits
			check(t, os.WriteFile(path, broken, 0o600))
			j := mustOpen(t, path)
			defer j.Close()
			totals, left := j.Replayed()
			var items []int
			known := int64(0)
			for _, r := range left {
				items = append(items, r.Items)
				known += int64(r.Items)
			}
			if diff := cmp.Diff(c.left, items); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if j.Damage() != c.want || (j.Cut() > 0) != c.cut {
				t.Errorf("damage is %+v, cut %d; want %+v", j.Damage(), j.Cut(), c.want)
			}
			if totals.Accepted != known {
				t.Errorf("accepted %d, left %d: the ledger would not balance", totals.Accepted, known)
			}
		})
	}
}

// A file that was replaced before it could be locked is opened again: two processes
// never read the same records.
func TestJournal_ReplacedBeforeLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	first := mustOpen(t, path)
	must(first.Append(1, []byte("old")))(t)
	old, err := os.OpenFile(path, os.O_RDWR, 0o600) // as a second process opens it
	check(t, err)
	must(first.Rewrite(nil))(t)
	second := &Journal{file: old, path: path, next: 1}
	if err := second.lock(); !errors.Is(err, errReplaced) {
		t.Errorf("locked a file that was replaced: %v", err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a journal that another process holds is opened")
	}
}

// While one process has the journal no other reads it, however often the first rewrites
// it: each record is replayed by one process alone.
func TestJournal_TwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	first := mustOpen(t, path)
	must(first.Append(5, []byte("record")))(t)
	live := []Record{{ID: 1, Items: 5, Body: []byte("record")}}
	var rewriting sync.WaitGroup
	done := make(chan struct{})
	rewriting.Go(func() {
		defer close(done)
		for range 500 {
			if _, err := first.Rewrite(live); err != nil {
				t.Error(err)
				return
			}
		}
	})
	t.Cleanup(rewriting.Wait)
	tries := 0
	for ended := false; !ended; tries++ {
		select {
		case <-done:
			ended = true
		default:
		}
		if second, err := Open(path); err == nil {
			_, left := second.Replayed()
			t.Fatalf("after %d tries a second process reads %d records", tries, len(left))
		}
	}
	check(t, first.Close())
	second := mustOpen(t, path)
	if _, left := second.Replayed(); len(left) != 1 {
		t.Errorf("when the first has ended, %d records are left, want 1", len(left))
	}
	if _, err := Open(path); err == nil {
		t.Error("a third process reads them too")
	}
}

// A rewrite that fails, at whatever step, leaves the journal as it is, and nothing beside
// it: on a full disk that would be what fills it.
func TestJournal_RewriteFails(t *testing.T) {
	cases := map[string]func(t *testing.T, j *Journal){ // prepares the failure
		"the new file cannot be made": func(t *testing.T, j *Journal) { j.path = filepath.Join(t.TempDir(), "gone", "x") },
		"the new file cannot be locked": func(t *testing.T, j *Journal) {
			other := must(os.Create(j.fresh()))(t)
			t.Cleanup(func() { other.Close() })
			check(t, syscall.Flock(int(other.Fd()), syscall.LOCK_EX))
		},
		"the disk is full": func(t *testing.T, j *Journal) { check(t, os.Symlink("/dev/full", j.fresh())) },
		"the new file cannot take the place of the old": func(t *testing.T, j *Journal) {
			j.path = filepath.Join(filepath.Dir(j.path), "a folder")
			check(t, os.Mkdir(j.path, 0o700))
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "traces.journal")
			history(t, path)
			j := mustOpen(t, path)
			totals, left := j.Replayed()
			prepare(t, j)
			if _, err := j.Rewrite(left); err == nil {
				t.Fatal("the rewrite succeeds")
			}
			if _, err := os.Lstat(j.fresh()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the new file stays: %v", err)
			}
			must(j.Append(7, []byte("more")))(t)
			check(t, j.Close())
			j = mustOpen(t, path)
			got, more := j.Replayed()
			totals.Accepted += 7
			if diff := cmp.Diff(totals, got); diff != "" || len(more) != len(left)+1 {
				t.Errorf("%d records, want %d; totals (-want +got):\n%s", len(more), len(left)+1, diff)
			}
		})
	}
}

// What a process that was killed while it rewrote left behind goes.
func TestJournal_RemovesUnfinishedRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.journal")
	check(t, os.WriteFile(path+".new", []byte("half"), 0o600))
	mustOpen(t, path)
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it stays: %v", err)
	}
}
