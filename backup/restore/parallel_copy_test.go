package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// recordingTarget is a target whose sessions record the rows that they get.
type recordingTarget struct {
	backup.Target // only Load is used
	mu            sync.Mutex
	copied        []string
	fresh         int
	closed        int
	copy          func(rows io.Reader) error // replaces reading, in all sessions but the first
}

type fakeLoader struct {
	*recordingTarget
	first bool
}

func (c *recordingTarget) Load(context.Context, string, []string) (backup.Loader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &fakeLoader{c, false}, nil
}

func (m *fakeLoader) Copy(_ context.Context, _ pgarchive.Entry, fresh bool, rows io.Reader) (int64, error) {
	if m.copy != nil && !m.first {
		return 0, m.copy(rows)
	}
	text, err := io.ReadAll(rows)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if fresh {
		m.fresh++
	}
	m.copied = append(m.copied, string(text))
	return int64(strings.Count(string(text), "\n")), nil
}

func (m *fakeLoader) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed++
	return nil
}

var users = pgarchive.Entry{ID: 7, Kind: "TABLE DATA", Schema: "auth", Name: "users", CopyStatement: "COPY auth.users (a) FROM stdin;\n"}

// newLoader deals the rows of a stream that is as long as they are; slots are
// free beside the reader's own.
func newLoader(c *recordingTarget, text string, rows int64, workers int) *streamLoader {
	m := backup.Manifest{Content: pgarchive.Tally{Tables: map[string]pgarchive.Table{"auth.users": {Rows: rows}}}}
	table := pgarchive.Entry{ID: 1, Kind: "TABLE", Schema: "auth", Name: "users"}
	l := newDataRestore(m, "new", []pgarchive.Entry{table}, selection{}, 1+workers)
	l.workers <- struct{}{}
	return &streamLoader{dataRestore: l, target: c, session: &fakeLoader{c, true}, from: &countingReader{}, bytes: int64(len(text))}
}

// numbered has rows of about a length, and now and then a much longer one.
func numbered(bytes, length, long int) (text string, rows []string) {
	var b strings.Builder
	for i := 0; b.Len() < bytes; i++ {
		n := length
		if long > 0 && i%1000 == 999 {
			n = long
		}
		row := fmt.Sprintf("%d\t%s", i, strings.Repeat("x", n))
		rows = append(rows, row)
		b.WriteString(row + "\n")
	}
	return b.String(), rows
}

func (d *streamLoader) load(from io.Reader) error {
	return d.rowsHandler(context.Background(), users)(from)
}

func TestStreamLoader_EveryRowArrivesOnceAndWhole(t *testing.T) {
	for name, c := range map[string]struct{ slots, length, long int }{
		"by one session, when no other is free":       {0, 100, 0},
		"by two sessions":                             {1, 100, 0},
		"by four sessions, with rows of some buffers": {3, 100, 5*batchSize + 17},
		"by two, with rows of just a buffer":          {1, 100, batchSize - 5},
	} {
		t.Run(name, func(t *testing.T) {
			text, want := numbered(3*parallelThreshold, c.length, c.long)
			target := &recordingTarget{}
			d := newLoader(target, text, int64(len(want)), c.slots)
			if err := d.load(strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, copied := range target.copied {
				got = append(got, strings.Split(strings.TrimSuffix(copied, "\n"), "\n")...)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d rows arrived of %d, or not these", len(got), len(want))
			}
			if target.fresh != 1 || len(target.copied) != 1+2*min(1, c.slots)+max(0, c.slots-1) {
				t.Errorf("%d sessions wrote, %d a fresh table", len(target.copied), target.fresh)
			}
			if target.closed != len(target.copied)-1-min(1, c.slots) || len(d.workers) != 1 {
				t.Errorf("%d sessions were closed, %d slots are taken", target.closed, len(d.workers))
			}
		})
	}
}

func TestStreamLoader_SmallTableIsNotFrozen(t *testing.T) {
	text, rows := numbered(smallTable/2, 100, 0)
	target := &recordingTarget{}
	if err := newLoader(target, text, int64(len(rows)), 3).load(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{text}, target.copied); diff != "" || target.fresh != 0 {
		t.Errorf("%d fresh; (-want +got):\n%.300s", target.fresh, diff)
	}
}

// A table that the restore did not make has rows that its extension put there.
func TestStreamLoader_TableOfAnExtensionIsNotEmptied(t *testing.T) {
	text, rows := numbered(4*smallTable, 100, 0)
	target := &recordingTarget{}
	d := newLoader(target, text, int64(len(rows)), 0)
	d.created = nil
	if err := d.load(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if target.fresh != 0 || len(target.copied) != 1 {
		t.Errorf("%d sessions wrote, %d a fresh table", len(target.copied), target.fresh)
	}
}

// Rows that go through the root of partitions may be in any of them already.
func TestStreamLoader_PartitionLoadedThroughItsRootIsNotEmptied(t *testing.T) {
	text, rows := numbered(4*smallTable, 100, 0)
	target := &recordingTarget{}
	through := users
	through.Definition = "-- load via partition root auth.everyone"
	if err := newLoader(target, text, int64(len(rows)), 0).rowsHandler(t.Context(), through)(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if target.fresh != 0 || len(target.copied) != 1 {
		t.Errorf("%d sessions wrote, %d a fresh table", len(target.copied), target.fresh)
	}
}

func TestStreamLoader_MissingRowsAreReported(t *testing.T) {
	text, rows := numbered(4*smallTable, 100, 0)
	err := newLoader(&recordingTarget{}, text, int64(len(rows))+1, 0).load(strings.NewReader(text))
	if backup.Category(t.Context(), err) != backupapi.CategoryVerify || !strings.Contains(err.Error(), "auth.users") {
		t.Errorf("got %v", err)
	}
}

func TestStreamLoader_FirstFailureEndsAllSessions(t *testing.T) {
	died := errors.New("the server died")
	for name, c := range map[string]struct{ long, read int }{
		"at once":                   {0, 0},
		"after some rows":           {0, 3 * batchSize},
		"in the middle of a row":    {9 * batchSize, 10},
		"of which it read a buffer": {9 * batchSize, batchSize + 10},
	} {
		t.Run(name, func(t *testing.T) {
			text, rows := numbered(3*parallelThreshold, 100, c.long)
			target := &recordingTarget{copy: func(from io.Reader) error {
				_, _ = io.CopyN(io.Discard, from, int64(c.read))
				return died
			}}
			d := newLoader(target, text, int64(len(rows)), 2)
			if err := d.load(strings.NewReader(text)); !errors.Is(err, died) {
				t.Errorf("got %v", err)
			}
			// What the first session wrote after it had the table to itself ended in the
			// failure and not as if it were all.
			if len(target.copied) != 1 || len(d.workers) != 1 {
				t.Errorf("%d sessions ended well, %d slots are taken", len(target.copied), len(d.workers))
			}
		})
	}
}

func TestStreamLoader_BrokenStreamReportsItsError(t *testing.T) {
	broken := errors.New("connection reset")
	text, rows := numbered(3*parallelThreshold, 100, 0)
	for _, at := range []int{10, smallTable + 10, parallelThreshold / 2, 2 * parallelThreshold} {
		from := io.MultiReader(strings.NewReader(text[:at]), iotest.ErrReader(broken))
		target := &recordingTarget{}
		if err := newLoader(target, text, int64(len(rows)), 1).load(from); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: got %v", at, err)
		}
	}
}
