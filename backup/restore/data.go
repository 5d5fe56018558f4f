package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// dataRestore is the state that the streams of one restore share.
type dataRestore struct {
	manifest backup.Manifest
	into     string
	workers  backup.Workers
	entries  []pgarchive.Entry
	selected selection
	settings []string            // SQL that a session runs before it loads
	created  map[string]struct{} // tables that this restore created, by SQL name
}

func newDataRestore(m backup.Manifest, into string, entries []pgarchive.Entry, selected selection, streams int) *dataRestore {
	l := &dataRestore{manifest: m, into: into, workers: backup.NewWorkers(streams), entries: entries, selected: selected, created: map[string]struct{}{}}
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

// restoreData restores the data streams, the longest first, and builds the indexes of
// each stream once it is loaded.
func (r *Restorer) restoreData(ctx context.Context, l *dataRestore, plan postDataPlan, head []byte) error {
	streams := append(l.manifest.StreamsOf(backup.StreamData), l.manifest.StreamsOf(backup.StreamBase)...)
	slices.SortStableFunc(streams, func(a, b backup.Stream) int { return int(min(1, max(-1, b.Bytes-a.Bytes))) })
	r.Progress.Begin(l.into, l.manifest.Bytes())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var first error
	var once sync.Once
	var all sync.WaitGroup
	for _, s := range streams {
		if s.Kind == backup.StreamData && !l.selected.includesData(s.Schema, s.Table) {
			continue
		}
		l.workers.Acquire()
		all.Go(func() {
			defer l.workers.Release(1)
			err := r.restoreStream(ctx, l, s, head)
			if err == nil {
				name := s.Title()
				err = r.buildIndexes(ctx, l, s, plan.byStream[name], plan.concurrency[name], head)
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

// buildIndexes builds the indexes of one stream's tables. It uses the memory and the
// cores of all workers that are free.
func (r *Restorer) buildIndexes(ctx context.Context, l *dataRestore, s backup.Stream, entries []int, atATime int, head []byte) error {
	if len(entries) == 0 {
		return nil
	}
	slots := 1
	for l.workers.TryAcquire() {
		slots++
	}
	defer l.workers.Release(slots - 1)
	return r.Target.RestoreHead(ctx, backup.Job{Database: l.into, Section: backup.PostData, Entries: entries, Workers: slots, Bytes: s.Bytes}, head, max(1, min(slots, atATime)))
}

// restoreStream restores the data of one stream. Our own sessions load rows; pg_restore
// restores large objects and sequences, and the whole of an archive whose version is not
// known.
func (r *Restorer) restoreStream(ctx context.Context, l *dataRestore, s backup.Stream, head []byte) error {
	var others []int
	if s.Kind == backup.StreamBase {
		others = l.nonTableEntries()
	}
	return r.feed(ctx, l.manifest, s, func(ctx context.Context, from io.Reader) error {
		if head == nil {
			return r.Target.Restore(ctx, backup.Job{Database: l.into, Section: backup.Data}, from)
		}
		d := &streamLoader{dataRestore: l, target: r.Target, from: &countingReader{from: from}, bytes: s.Bytes, loadAll: s.Kind == backup.StreamData}
		return r.withRestoreProcess(ctx, backup.Job{Database: l.into, Section: backup.Data, Entries: others}, func(rest io.Writer) error {
			return errors.Join(pgarchive.Demultiplex(rest, d.from, func(e pgarchive.Entry) func(io.Reader) error { return d.rowsHandler(ctx, e) }), d.close(ctx))
		})
	})
}

// nonTableEntries returns the entries of the data section that are not rows of tables.
func (l *dataRestore) nonTableEntries() (ids []int) {
	section := 0
	for _, e := range l.entries {
		if e.Section != pgarchive.SectionNone { // comments and grants belong where the entry before them does
			section = e.Section
		}
		if section == pgarchive.SectionData && !isTableData(e) && l.isChosen(e) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// isTableData reports whether an entry has rows for a COPY statement.
func isTableData(e pgarchive.Entry) bool { return e.Kind == "TABLE DATA" && e.CopyStatement != "" }

// isFresh reports whether the table is certain to be empty before the entry's rows are
// loaded. The rows of an entry with a definition go to the root of its partitions, and so
// to any of them (PostgreSQL 16 and later, where a hash may differ).
func (l *dataRestore) isFresh(e pgarchive.Entry) bool {
	return l.madeByRestore(e) && e.Definition == ""
}

func (l *dataRestore) isChosen(e pgarchive.Entry) bool {
	return l.selected.IDs == nil || slices.Contains(l.selected.IDs, e.ID)
}

// withRestoreProcess runs pg_restore beside the work, on the part of the archive that the
// work writes to rest.
func (r *Restorer) withRestoreProcess(ctx context.Context, job backup.Job, work func(rest io.Writer) error) error {
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
	err := work(&ignoreClosedPipe{in})
	_ = in.CloseWithError(err) // nil is the end
	return errors.Join(err, <-restored)
}

// ignoreClosedPipe discards what is written after the reader has closed. A process that
// has read what it needs ends early, and one that failed reports its own error.
type ignoreClosedPipe struct{ to *io.PipeWriter }

func (u *ignoreClosedPipe) Write(p []byte) (int, error) {
	n, err := u.to.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		return len(p), nil
	}
	return n, err
}

// countingReader counts the bytes that were read.
type countingReader struct {
	from io.Reader
	n    int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	return n, err
}

// checkRows compares the number of rows that were loaded with the manifest. Tables that
// an extension created are not compared: its triggers may add or drop rows.
func (l *dataRestore) checkRows(e pgarchive.Entry, rows int64) error {
	want, counted := l.manifest.Content.Tables[e.SQLName()]
	if !counted || l.manifest.Content.Unknown != "" || !l.madeByRestore(e) || want.Rows == rows {
		return nil
	}
	return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("load %s: %d rows arrived, the manifest says %d", e.SQLName(), rows, want.Rows))
}

func (l *dataRestore) madeByRestore(e pgarchive.Entry) bool {
	_, made := l.created[e.SQLName()]
	return made
}
