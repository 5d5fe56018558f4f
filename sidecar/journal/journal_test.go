package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
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
