package dump

import (
	"context"
	"fmt"
	"slices"
	"sync"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// dumpTask is a dump that runs and the stream that it is stored as.
type dumpTask struct {
	stream backup.Stream
	name   string
	dump   backup.Dump
}

// dumpStreams starts all dumps of a snapshot at once, so that all hold their locks early,
// and stores r.Streams of them at a time. A process whose output is not read yet blocks;
// it uses neither the server nor memory.
func (r *Runner) dumpStreams(ctx context.Context, snapshot backup.Snapshot, m *backup.Manifest) error {
	without, err := r.excludeTableData(ctx, snapshot, m)
	if err != nil {
		return err
	}
	workers := backup.NewWorkers(r.Streams)
	tasks, err := r.startDumps(ctx, snapshot, without, workers)
	if err != nil {
		return err
	}
	r.Progress.Begin(m.Database, m.Facts.Estimate)
	r.Log.Info("dump started", "database", m.Database, "backup", m.ID, "streams", len(tasks), "at_a_time", r.Streams, "estimate", m.Facts.Estimate)
	results, err := r.storeDumps(ctx, tasks, m.Folder(), workers)
	if err != nil {
		return err
	}
	for _, result := range results {
		m.Streams = append(m.Streams, result.stream)
		m.Warnings = append(m.Warnings, result.warnings...)
		if result.stream.Kind == backup.StreamData { // all else of it is in the base dump too
			result.content = pgarchive.Tally{Tables: result.content.Tables, Unknown: result.content.Unknown}
		}
		m.Content.Add(result.content)
	}
	for _, warning := range m.Warnings {
		r.Log.Warn("pg_dump warned", "database", m.Database, "warning", warning)
	}
	return nil
}

// withData returns the tables that can be dumped separately, except for those whose data
// is left out.
func withData(snapshot backup.Snapshot, without []backup.Table) []backup.Table {
	return slices.DeleteFunc(slices.Clone(snapshot.Tables()), func(t backup.Table) bool { return contains(without, t) })
}

func (r *Runner) startDumps(ctx context.Context, snapshot backup.Snapshot, without []backup.Table, workers backup.Workers) (tasks []dumpTask, err error) {
	begin := func(stream backup.Stream, name string, open func() (backup.Dump, error)) {
		if err != nil {
			return
		}
		var dump backup.Dump
		if dump, err = open(); err != nil {
			err = fmt.Errorf("start the dump %s: %w", name, err)
			return
		}
		tasks = append(tasks, dumpTask{stream, name, dump})
	}
	begin(backup.Stream{Kind: backup.StreamGlobals}, "globals", func() (backup.Dump, error) { return r.Source.Globals(ctx) })
	tables := withData(snapshot, without)
	big, share := separateTables(tables, r.Streams, r.Layout.SeparateFrom), streamShare(tables, r.Streams)
	for i, t := range big {
		var more backup.Workers
		if t.Bytes > share { // its stream would be the last to end
			more = workers
		}
		begin(backup.Stream{Kind: backup.StreamData, Schema: t.Schema, Table: t.Name}, fmt.Sprintf("data-%02d", i), func() (backup.Dump, error) { return snapshot.Data(ctx, t, more) })
	}
	begin(backup.Stream{Kind: backup.StreamBase}, "base", func() (backup.Dump, error) { return snapshot.Base(ctx, slices.Concat(big, without)) })
	if err != nil {
		for _, t := range tasks {
			_ = t.dump.Close()
		}
	}
	return tasks, err
}

// storeDumps stores the streams. The first failure stops the others: a partial backup is
// of no use.
func (r *Runner) storeDumps(ctx context.Context, tasks []dumpTask, folder string, workers backup.Workers) ([]storedStream, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	writer := &streamWriter{store: r.Store, layout: r.Layout, folder: folder, recipients: r.Recipients, buffers: r.buffers, progress: r.Progress}
	results := make([]storedStream, len(tasks))
	var first error
	var once sync.Once
	var all sync.WaitGroup
	for i, t := range tasks {
		workers.Acquire()
		all.Go(func() {
			defer workers.Release(1)
			streamCtx, end := r.Observer.Step(ctx, "store stream", "stream", t.name)
			result, err := writer.write(streamCtx, t.dump, t.stream, t.name)
			end(err)
			if err != nil {
				once.Do(func() {
					first = backup.Fail(backupapi.CategorySource, fmt.Errorf("store the dump %s: %w", t.name, err))
				})
				stop()
			}
			results[i] = result
		})
	}
	all.Wait()
	return results, first
}
