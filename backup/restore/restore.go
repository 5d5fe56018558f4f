// Package restore restores backups into new databases. It loads tables in parallel
// and never writes into a database that contains anything.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// Restorer restores backups.
type Restorer struct {
	Store      backup.Reader
	Target     backup.Target
	Log        *slog.Logger
	Observer   backup.Observer
	Progress   *backup.Progress
	Identities []age.Identity
	Streams    int    // that run at the same time
	Only       []Name // none is everything
	Globals    bool   // roles and tablespaces too
	// CheckFirst compares every stored byte with the manifest before anything of the
	// backup is run. Otherwise a changed object is found when it has been read, and the
	// server has run what it says by then.
	CheckFirst bool
}

// Restore creates the database into and restores a backup into it. It refuses a database
// that contains anything.
func (r *Restorer) Restore(ctx context.Context, m backup.Manifest, into string) (warnings []string, err error) {
	if r.CheckFirst {
		if err := r.check(ctx, m); err != nil {
			return nil, err
		}
	}
	head, entries, err := r.readHead(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("read the table of contents: %w", err)
	}
	selected, err := selectEntries(entries, r.Only)
	if err != nil {
		return nil, err
	}
	warnings = slices.Concat(selected.LeftOut, m.LeftOut())
	plan := planPostData(m, entries, selected.IDs)
	after := backup.Job{Database: into, Section: backup.PostData, Workers: r.Streams, Bytes: m.Bytes()}
	if entries != nil {
		after.Entries = plan.rest
	}
	if r.Globals {
		more, err := r.globals(ctx, m)
		warnings = append(warnings, more...)
		if err != nil {
			return warnings, err
		}
	}
	if err := r.checkRequirements(ctx, m, entries, selected); err != nil {
		return warnings, err
	}
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"create the database", func(ctx context.Context) error { return r.Target.Create(ctx, into, m.Facts.Properties) }},
		{"restore definitions", func(ctx context.Context) error {
			return r.definitions(ctx, m, backup.Job{Database: into, Section: backup.PreData, Entries: selected.IDs}, head)
		}},
		{"restore data and its indexes", func(ctx context.Context) error {
			if err := r.Target.BeginData(ctx, into); err != nil {
				return err
			}
			return r.restoreData(ctx, newDataRestore(m, into, entries, selected, r.Streams), plan, head)
		}},
		{"restore the rest", func(ctx context.Context) error {
			if err := r.definitions(ctx, m, after, head); err != nil {
				return err
			}
			return r.Target.EndData(ctx, into)
		}},
		{"apply settings", func(ctx context.Context) error {
			more, err := r.Target.ApplyProperties(ctx, into, m.Facts.Properties)
			warnings = append(warnings, more...)
			return err
		}},
	}
	for _, step := range steps {
		stepCtx, end := r.Observer.Step(ctx, step.name, "database", into)
		r.Log.Info("restore step", "step", step.name, "database", into, "backup", m.ID)
		err := step.do(stepCtx)
		end(err)
		if err != nil {
			return warnings, backup.Fail(backupapi.CategorySource, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	return warnings, nil
}

func (r *Restorer) check(ctx context.Context, m backup.Manifest) error {
	ctx, end := r.Observer.Step(ctx, "check what is stored", "database", m.Database)
	err := backup.CheckStored(ctx, r.Store, m, r.Streams)
	end(err)
	return backup.Fail(backupapi.CategoryStore, err)
}

// readHead reads the base archive up to its data. It returns nil for an archive whose
// version is not known: pg_restore then reads the archive itself.
func (r *Restorer) readHead(ctx context.Context, m backup.Manifest) ([]byte, []pgarchive.Entry, error) {
	base := m.StreamsOf(backup.StreamBase)
	if len(base) != 1 {
		return nil, nil, backup.Fail(backupapi.CategoryVerify, fmt.Errorf("the manifest names %d base dumps", len(base)))
	}
	from, err := backup.OpenStream(ctx, r.Store, m, base[0], r.Identities)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = from.Close() }()
	head, entries, err := pgarchive.Head(from)
	if errors.Is(err, pgarchive.ErrVersion) {
		return nil, nil, nil
	}
	return head, entries, backup.DamagedArchive(err)
}

func (r *Restorer) globals(ctx context.Context, m backup.Manifest) (warnings []string, err error) {
	for _, s := range m.StreamsOf(backup.StreamGlobals) {
		err = r.feed(ctx, m, s, func(ctx context.Context, from io.Reader) error {
			more, err := r.Target.Globals(ctx, from)
			warnings = append(warnings, more...)
			return err
		})
		if err != nil {
			return warnings, backup.Fail(backupapi.CategorySource, fmt.Errorf("restore roles: %w", err))
		}
	}
	return warnings, nil
}

// definitions restores a section without data, from memory if the head is known.
func (r *Restorer) definitions(ctx context.Context, m backup.Manifest, job backup.Job, head []byte) error {
	if head != nil {
		return r.Target.RestoreHead(ctx, job, head, r.Streams)
	}
	return r.feed(ctx, m, m.StreamsOf(backup.StreamBase)[0], func(ctx context.Context, from io.Reader) error {
		return r.Target.Restore(ctx, job, from)
	})
}

// feed passes a stream to a process. If both fail it returns the stream's error: a process
// that reads a broken stream fails because of it.
func (r *Restorer) feed(ctx context.Context, m backup.Manifest, s backup.Stream, to func(context.Context, io.Reader) error) error {
	from, err := backup.OpenStream(ctx, r.Store, m, s, r.Identities)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	source := &errorRecorder{from: r.Progress.Reader(from)}
	err = to(ctx, source)
	if source.err != nil {
		return source.err
	}
	return err
}

// errorRecorder keeps the error that ended a stream.
type errorRecorder struct {
	from io.Reader
	err  error
}

func (r *errorRecorder) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
