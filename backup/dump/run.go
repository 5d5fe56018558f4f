// Package dump makes backups: it takes one snapshot of each database, dumps it in
// parallel streams, stores them and commits the manifest. It also runs the dry run
// that checks beforehand whether a backup would succeed.
package dump

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/retention"
)

// Runner makes backups.
type Runner struct {
	Source     backup.Source
	Store      backup.Store
	Now        func() time.Time
	Random     func() uint32
	Log        *slog.Logger
	Observer   backup.Observer
	Progress   *backup.Progress
	Program    string   // its version
	Databases  []string // those asked for; none is every one
	Streams    int
	Layout     Layout
	Recipients []age.Recipient
	Policy     retention.Policy

	buffers freeList
}

// Run backs up every database, each on its own: one that fails does not keep the
// others from being backed up, and nothing of it is pruned. The error is the
// first one.
func (r *Runner) Run(ctx context.Context) ([]backupapi.DatabaseResult, error) {
	names, err := r.discover(ctx)
	if err != nil {
		return nil, err
	}
	r.buffers = make(freeList, r.Streams*(r.Layout.ConcurrentParts+1))
	var results []backupapi.DatabaseResult
	var failed error
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		result, err := r.backUp(ctx, name)
		if errors.Is(err, backup.ErrNoDatabase) && len(r.Databases) == 0 {
			r.Log.Warn("database dropped since it was found", "database", name)
			continue
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("back up %s: %w", name, err)
		}
		results = append(results, result)
	}
	if failed == nil && ctx.Err() != nil {
		failed = context.Cause(ctx)
	}
	if failed == nil {
		r.removeOrphans(ctx)
	}
	return results, failed
}

func (r *Runner) discover(ctx context.Context) ([]string, error) {
	if len(r.Databases) > 0 {
		return r.Databases, nil
	}
	names, err := r.Source.Databases(ctx)
	if err != nil {
		return nil, fmt.Errorf("find databases: %w", err)
	}
	if len(names) == 0 {
		return nil, backup.Fail(backupapi.CategorySource, errors.New("find databases: there is none to back up"))
	}
	return names, nil
}

// backUp backs one database up, and then prunes it. A prune that fails is a warning:
// the backup is there.
func (r *Runner) backUp(ctx context.Context, name string) (result backupapi.DatabaseResult, err error) {
	started := r.Now()
	result.Name = name
	ctx, end := r.Observer.Step(ctx, "back up database", "database", name)
	defer func() {
		end(err)
		result.Seconds = r.Now().Sub(started).Seconds()
		if err != nil {
			result.Category, result.Message = backup.Category(ctx, err), err.Error()
			r.reportAges(ctx, &result)
		}
	}()
	manifest, err := r.dumpWithRetry(ctx, name, backup.NewID(started, r.Random()), started)
	if err != nil {
		return result, err
	}
	result.Backup, result.Bytes, result.Stored = manifest.ID, manifest.Bytes(), manifest.Stored()
	result.Rows, result.Anomalies = manifest.Content.Rows(), len(manifest.Anomalies)
	result.HeldSeconds, result.HeldTransactions = manifest.Held.Seconds, manifest.Held.Transactions
	r.Log.Info("backup committed", "database", name, "backup", manifest.ID, "bytes", result.Bytes, "stored", result.Stored, "rows", result.Rows)
	r.prune(ctx, &result, manifest)
	return result, nil
}

// prune prunes, now that a backup is there, and reports the ages.
func (r *Runner) prune(ctx context.Context, result *backupapi.DatabaseResult, m backup.Manifest) {
	pruner := retention.Pruner{Store: r.Store, Now: r.Now, Log: r.Log, Policy: r.Policy}
	plan, err := pruner.Database(ctx, m.Database, false)
	if err != nil {
		r.Log.Warn("prune did not finish", "database", m.Database, "error", err)
	}
	result.Pruned = plan.Deleted
	result.LastSuccess = &m.Facts.Taken
	if plan.Verified != nil {
		result.LastVerified = &plan.Verified.Taken
	}
}

// reportAges tells of a database whose backup failed how old the last good one is: that
// number is what alarms go by, so a failure must not silence it.
func (r *Runner) reportAges(ctx context.Context, result *backupapi.DatabaseResult) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	catalog, err := backup.ReadCatalog(ctx, r.Store, result.Name)
	backups := catalog.Committed(result.Name)
	if err != nil || len(backups) == 0 {
		return
	}
	result.LastSuccess = &backups[0].Taken
	if verified, found, err := backup.NewestVerified(ctx, r.Store, backups); err == nil && found {
		result.LastVerified = &verified.Taken
	}
}

// removeOrphans removes what failed runs left behind long ago.
func (r *Runner) removeOrphans(ctx context.Context) {
	pruner := retention.Pruner{Store: r.Store, Now: r.Now, Log: r.Log, Policy: r.Policy}
	if _, err := pruner.Orphans(ctx, false); err != nil {
		r.Log.Warn("not all orphaned objects were removed", "error", err)
	}
}

// dumpWithRetry takes one snapshot to a committed manifest. When a lock, a standby's
// recovery or a change of a table got in its way, it starts again with a new snapshot.
func (r *Runner) dumpWithRetry(ctx context.Context, name, id string, started time.Time) (backup.Manifest, error) {
	m, err := r.attempt(ctx, name, id, started)
	for retry := 1; err != nil && ctx.Err() == nil && retry <= retriesAfter(err); retry++ {
		r.Log.Warn("dump conflicted with other sessions; trying again with a new snapshot", "database", name, "attempt", retry+1, "error", err)
		m, err = r.attempt(ctx, name, backup.NewID(r.Now(), r.Random()), started)
	}
	return m, err
}

// retriesAfter returns how often a dump may be repeated after an error. A conflict costs
// a wait, for a lock or for recovery; a table that changed costs little.
func retriesAfter(err error) int {
	switch {
	case errors.Is(err, backup.ErrChanged):
		return 4
	case errors.Is(err, backup.ErrConflict):
		return 1
	}
	return 0
}

func (r *Runner) attempt(ctx context.Context, name, id string, started time.Time) (m backup.Manifest, err error) {
	snapshot, err := r.Source.Open(ctx, name)
	if err != nil {
		return m, fmt.Errorf("take a snapshot: %w", err)
	}
	defer func() {
		if closed := snapshot.Close(context.WithoutCancel(ctx)); closed != nil {
			r.Log.Debug("snapshot closed with an error", "database", name, "error", closed)
		}
	}()
	m = backup.Manifest{Format: backup.ManifestFormat, ID: id, Database: name, Program: r.Program, Started: started.UTC(), Facts: snapshot.Facts(), Encrypted: len(r.Recipients) > 0}
	defer func() {
		if err != nil {
			r.discard(ctx, m)
		}
	}()
	if err := r.dumpStreams(ctx, snapshot, &m); err != nil {
		return m, err
	}
	if m.Held, err = snapshot.CheckAlive(ctx); err != nil {
		return m, fmt.Errorf("keep the snapshot: %w", err)
	}
	if warning := m.Held.Warning(); warning != "" {
		m.Warnings = append(m.Warnings, warning)
		r.Log.Warn("vacuum was held back", "database", name, "seconds", m.Held.Seconds, "transactions", m.Held.Transactions, "limit", m.Held.Limit)
	}
	return m, r.commit(ctx, &m)
}

// discard deletes what a failed attempt wrote. It may lack the right, or be
// killed: without a manifest the rest is no backup, and is swept later.
func (r *Runner) discard(ctx context.Context, m backup.Manifest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	var keys []string
	err := r.Store.List(ctx, m.Folder(), func(o backup.Object) error {
		keys = append(keys, o.Key)
		return nil
	})
	if err == nil && slices.Contains(keys, m.Folder()+backup.ManifestName) {
		return // committed after all: the answer was lost, the backup is not
	}
	if err == nil && len(keys) > 0 {
		err = r.Store.Delete(ctx, keys...)
	}
	if err != nil {
		r.Log.Warn("failed run left objects", "backup", m.ID, "error", err)
	}
}
