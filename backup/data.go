package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// loading is what the streams of one restore share.
type loading struct {
	manifest Manifest
	into     string
	slots    chan struct{} // one for each session that works
	entries  []pgarchive.Entry
	chosen   []int               // of the base dump's entries; nil is all
	settings []string            // SQL that the archive wants first
	created  map[string]struct{} // tables that the restore itself made, by SQL name
}

func newLoading(m Manifest, into string, entries []pgarchive.Entry, chosen []int, streams int) *loading {
	l := &loading{manifest: m, into: into, slots: make(chan struct{}, max(1, streams)), entries: entries, chosen: chosen, created: map[string]struct{}{}}
	for _, e := range entries {
		switch e.Kind {
		case "ENCODING", "STDSTRINGS", "SEARCHPATH":
			l.settings = append(l.settings, e.Definition)
		case "TABLE":
			l.created[e.SQLName()] = struct{}{}
		}
	}
	return l
}

// spare takes a slot that nobody waits for, if there is one.
func (l *loading) spare() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *loading) release(n int) {
	for range n {
		<-l.slots
	}
}

// data moves the data streams, the longest first, and builds each one's indexes
// when it is through.
func (r *Restorer) data(ctx context.Context, l *loading, plan order, head []byte) error {
	streams := append(l.manifest.stream(StreamData), l.manifest.stream(StreamBase)...)
	slices.SortStableFunc(streams, func(a, b Stream) int { return int(min(1, max(-1, b.Bytes-a.Bytes))) })
	r.Progress.begin(l.into, l.manifest.Bytes())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var first error
	var once sync.Once
	var all sync.WaitGroup
	for _, s := range streams {
		if s.Kind == StreamData && !wanted(s.Schema, s.Table, r.Only) {
			continue
		}
		l.slots <- struct{}{}
		all.Go(func() {
			defer l.release(1)
			err := r.stream(ctx, l, s, head)
			if err == nil {
				name := s.Title()
				err = r.indexes(ctx, l, s, plan.after[name], plan.atATime[name], head)
			}
			if err != nil {
				once.Do(func() { first = fmt.Errorf("%s: %w", s.Title(), err) })
				stop()
			}
		})
	}
	all.Wait()
	return first
}

// indexes builds what belongs to one stream, with the memory and the cores of
// slots that have nothing to do.
func (r *Restorer) indexes(ctx context.Context, l *loading, s Stream, entries []int, atATime int, head []byte) error {
	if len(entries) == 0 {
		return nil
	}
	slots := 1
	for l.spare() {
		slots++
	}
	defer l.release(slots - 1)
	return r.Target.Head(ctx, Job{l.into, PostData, entries, slots, s.Bytes}, head, max(1, min(slots, atATime)))
}

// stream restores the data of one stream. Rows are loaded by sessions of ours;
// large objects and sequences are pg_restore's, and so is everything of an
// archive whose version is not known.
func (r *Restorer) stream(ctx context.Context, l *loading, s Stream, head []byte) error {
	var others []int
	if s.Kind == StreamBase {
		others = l.others()
	}
	return r.feed(ctx, l.manifest, s, func(ctx context.Context, from io.Reader) error {
		if head == nil {
			return r.Target.Restore(ctx, Job{Database: l.into, Section: Data}, from)
		}
		d := &dealer{loading: l, target: r.Target, from: &counter{from: from}, bytes: s.Bytes, all: s.Kind == StreamData}
		return r.beside(ctx, Job{Database: l.into, Section: Data, Entries: others}, func(rest io.Writer) error {
			return errors.Join(pgarchive.Divert(rest, d.from, func(e pgarchive.Entry) func(io.Reader) error { return d.take(ctx, e) }), d.close(ctx))
		})
	})
}

// others are the entries with the data section that are no rows of tables.
func (l *loading) others() (ids []int) {
	section := 0
	for _, e := range l.entries {
		if e.Section != pgarchive.SectionNone { // comments and grants belong where the entry before them does
			section = e.Section
		}
		if section == pgarchive.SectionData && !rowsOf(e) && l.isChosen(e) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// rowsOf tells whether an entry is rows that a COPY statement takes.
func rowsOf(e pgarchive.Entry) bool { return e.Kind == "TABLE DATA" && e.CopyStatement != "" }

// isFresh tells whether nothing but the entry's own rows is in its table. An
// entry with a definition has rows that go to the root of its partitions
// (PostgreSQL 16 and later, where a hash may differ), and so to any of them.
func (l *loading) isFresh(e pgarchive.Entry) bool { return l.isOurs(e) && e.Definition == "" }

func (l *loading) isChosen(e pgarchive.Entry) bool {
	return l.chosen == nil || slices.Contains(l.chosen, e.ID)
}

// beside runs pg_restore on what the work leaves, at the same time.
func (r *Restorer) beside(ctx context.Context, job Job, work func(rest io.Writer) error) error {
	if len(job.Entries) == 0 {
		return work(io.Discard)
	}
	out, in := io.Pipe()
	restored := make(chan error, 1)
	go func() {
		err := r.Target.Restore(ctx, job, out)
		_ = out.Close()
		restored <- err
	}()
	err := work(&untilClosed{in})
	_ = in.CloseWithError(err) // nil is the end
	return errors.Join(err, <-restored)
}

// untilClosed swallows what nobody reads any more: a process that has all it
// wants ends, and one that failed says so itself.
type untilClosed struct{ to *io.PipeWriter }

func (u *untilClosed) Write(p []byte) (int, error) {
	n, err := u.to.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		return len(p), nil
	}
	return n, err
}

// counter counts what was read.
type counter struct {
	from io.Reader
	n    int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	return n, err
}

// mustBe compares what a table got with the manifest. Rows of tables that an
// extension made are not compared: its triggers may have a say.
func (l *loading) mustBe(e pgarchive.Entry, rows int64) error {
	want, counted := l.manifest.Content.Tables[e.SQLName()]
	if !counted || l.manifest.Content.Unknown != "" || !l.isOurs(e) || want.Rows == rows {
		return nil
	}
	return Fail(backupapi.CategoryVerify, fmt.Errorf("load %s: %d rows arrived, the manifest says %d", e.SQLName(), rows, want.Rows))
}

func (l *loading) isOurs(e pgarchive.Entry) bool {
	_, made := l.created[e.SQLName()]
	return made
}
