package backup

import (
	"context"
	"fmt"
	"sync"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// task is one stream to be stored.
type task struct {
	stream Stream
	name   string
	dump   Dump
}

// streams starts all dumps of a snapshot, so that all have their locks before
// anything waits behind them, and moves r.Streams of them at a time: a process
// whose output nobody reads yet waits, and loads neither server nor memory.
func (r *Runner) streams(ctx context.Context, snapshot Snapshot, m *Manifest) error {
	big := apart(snapshot.Tables(), r.Streams, r.Layout.SmallestApart)
	tasks, err := r.start(ctx, snapshot, big)
	if err != nil {
		return err
	}
	r.Progress.begin(m.Database, snapshot.Facts().Estimate)
	r.Log.Info("dump started", "database", m.Database, "backup", m.ID, "streams", len(tasks), "at_a_time", r.Streams, "estimate", snapshot.Facts().Estimate)
	results, err := r.move(ctx, tasks, m.folder())
	if err != nil {
		return err
	}
	for _, result := range results {
		m.Streams = append(m.Streams, result.stream)
		m.Warnings = append(m.Warnings, result.warnings...)
		if result.stream.Kind == StreamData { // all else of it is in the base dump too
			result.content = pgarchive.Tally{Tables: result.content.Tables, Unknown: result.content.Unknown}
		}
		m.Content.Add(result.content)
	}
	for _, warning := range m.Warnings {
		r.Log.Warn("pg_dump warned", "database", m.Database, "warning", warning)
	}
	return nil
}

func (r *Runner) start(ctx context.Context, snapshot Snapshot, big []Table) (tasks []task, err error) {
	begin := func(stream Stream, name string, open func() (Dump, error)) {
		if err != nil {
			return
		}
		var dump Dump
		if dump, err = open(); err != nil {
			err = fmt.Errorf("start the dump %s: %w", name, err)
			return
		}
		tasks = append(tasks, task{stream, name, dump})
	}
	begin(Stream{Kind: StreamGlobals}, "globals", func() (Dump, error) { return r.Source.Globals(ctx) })
	for i, t := range big {
		begin(Stream{Kind: StreamData, Schema: t.Schema, Table: t.Name}, fmt.Sprintf("data-%02d", i), func() (Dump, error) { return snapshot.Data(ctx, t) })
	}
	begin(Stream{Kind: StreamBase}, "base", func() (Dump, error) { return snapshot.Base(ctx, big) })
	if err != nil {
		for _, t := range tasks {
			_ = t.dump.Close()
		}
	}
	return tasks, err
}

// move stores the streams. The first that fails stops the others: a backup is
// whole or none.
func (r *Runner) move(ctx context.Context, tasks []task, folder string) ([]stored, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	writer := &streamWriter{store: r.Store, layout: r.Layout, folder: folder, recipients: r.Recipients, buffers: r.buffers, progress: r.Progress}
	results := make([]stored, len(tasks))
	var first error
	var once sync.Once
	var all sync.WaitGroup
	slots := make(chan struct{}, max(1, r.Streams))
	for i, t := range tasks {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			streamCtx, end := r.Observer.Step(ctx, "store stream", "stream", t.name)
			result, err := writer.write(streamCtx, t.dump, t.stream, t.name)
			end(err)
			if err != nil {
				once.Do(func() {
					first = Fail(backupapi.CategorySource, fmt.Errorf("store the dump %s: %w", t.name, err))
				})
				stop()
			}
			results[i] = result
		})
	}
	all.Wait()
	return results, first
}
