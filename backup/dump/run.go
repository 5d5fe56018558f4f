// Package dump makes backups: it takes one snapshot of each database, dumps it in
// parallel streams, stores them and commits the manifest. It also runs the dry run
// that checks beforehand whether a backup would succeed.
package dump

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/retention"
)

// Runner makes backups.
type Runner struct {
	Source    backup.Source
	Store     backup.Store
	Now       func() time.Time
	Random    func() uint32
	Log       *slog.Logger
	Observer  backup.Observer
	Progress  *backup.Progress
	Program   string   // its version
	Databases []string // those asked for; none is every one
	// ExcludeDatabases and ExcludeTableData are psql patterns of what is left out.
	ExcludeDatabases, ExcludeTableData []string
	// Warnings is what a run found that is no failure.
	Warnings   []string
	Streams    int
	Layout     Layout
	Recipients []age.Recipient
	Policy     retention.Policy
	// Evidence, if set, returns the newest record of a database's evidence, for the manifest.
	Evidence func(ctx context.Context, database string) (*backup.EvidenceHead, error)
	// Copy, if set, is the second store, which a dry run probes too.
	Copy backup.Store
	// AcceptServer lets a run continue the backups of another server.
	AcceptServer bool

	buffers  freeList
	excluded []string        // databases that a pattern matched
	matched  map[string]bool // patterns of tables that matched one
	server   string          // system identifier of the server whose backups are in the store
	// agesUnknown says that the store could not be read to report ages.
	agesUnknown bool
}

// Run backs up every database. One that fails does not stop the others, and is not
// pruned. The error joins the errors of all databases, and each has a category. A
// prune that was refused because it would delete too much is an error too, although
// the backup is there: without one, nothing would ever be deleted again unnoticed.
func (r *Runner) Run(ctx context.Context) ([]backupapi.DatabaseResult, error) {
	names, err := r.discover(ctx)
	if err != nil {
		return nil, err
	}
	if names, err = r.excludeDatabases(ctx, names); err != nil {
		return nil, err
	}
	r.matched = map[string]bool{}
	r.buffers = make(freeList, r.Streams*(r.Layout.ConcurrentParts+1))
	r.server = r.knownServer(ctx)
	var results []backupapi.DatabaseResult
	var failed, refused error
	for _, name := range names {
		result, err := r.backUp(ctx, name)
		if errors.Is(err, backup.ErrNoDatabase) && len(r.Databases) == 0 {
			r.Log.Warn("database was dropped after it was found", "database", name)
			continue
		}
		if err != nil {
			r.Log.Error("backup failed", "database", name, "category", result.Category, "error", err)
			failed = errors.Join(failed, backup.Fail(result.Category, fmt.Errorf("back up %s: %w", name, err)))
		}
		if result.PruneRefused != "" {
			refused = errors.Join(refused, backup.Fail(backupapi.CategoryRefused, fmt.Errorf("prune %s: %s", name, result.PruneRefused)))
		}
		results = append(results, result)
	}
	if failed == nil {
		r.warnUnmatched()
	}
	r.removeOrphans(ctx)
	return results, errors.Join(failed, refused)
}

func (r *Runner) discover(ctx context.Context) ([]string, error) {
	if len(r.Databases) > 0 {
		return r.Databases, nil
	}
	names, leftOut, err := r.Source.Databases(ctx)
	if err != nil {
		return nil, fmt.Errorf("find databases: %w", err)
	}
	for _, why := range leftOut {
		r.Log.Warn("database is not backed up; name it in DATABASES to back up a template", "database", why)
	}
	if len(names) == 0 {
		return nil, backup.Fail(backupapi.CategorySource, errors.New("find databases: there is none to back up"))
	}
	return names, nil
}

// backUp backs up one database and prunes it. A prune that fails is no failure of the
// backup.
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
	if ctx.Err() != nil {
		return result, fmt.Errorf("not begun: %w", context.Cause(ctx))
	}
	manifest, err := r.dumpWithRetry(ctx, name, backup.NewID(started, r.Random()), started)
	if err != nil {
		return result, err
	}
	result.Backup, result.Bytes, result.Stored = manifest.ID, manifest.Bytes(), manifest.Stored()
	result.Rows, result.Anomalies = manifest.Content.Rows(), len(manifest.Anomalies)
	result.HeldSeconds, result.HeldTransactions = manifest.Held.Seconds, manifest.Held.Transactions
	r.Log.Info("backup committed", "database", name, "backup", manifest.ID, "bytes", result.Bytes, "stored", result.Stored, "rows", result.Rows)
	r.prune(ctx, &result, started)
	return result, nil
}

// prune deletes what retention does not keep, after a backup was committed. It
// reports the ages and the backups that are not good, and updates the summary.
func (r *Runner) prune(ctx context.Context, result *backupapi.DatabaseResult, started time.Time) {
	inventory, err := backup.ReadInventory(ctx, r.Store, result.Name)
	if err != nil {
		r.Log.Warn("database was not pruned", "database", result.Name, "error", err)
		result.LastSuccess = &started
		return
	}
	r.reportState(inventory, result)
	pruner := retention.Pruner{Store: r.Store, Now: r.Now, Log: r.Log, Policy: r.Policy}
	plan, err := pruner.Database(ctx, inventory, result.Name, false)
	if err != nil {
		r.Log.Warn("prune did not finish", "database", result.Name, "error", err)
	}
	if errors.Is(err, retention.ErrTooMany) {
		result.PruneRefused = err.Error()
	}
	result.Pruned, result.Locked = plan.Deleted, plan.Locked
	if err := inventory.WriteSummaries(ctx, r.Store); err != nil {
		r.Log.Warn("summary of the backups was not written", "database", result.Name, "error", err)
	}
}

// reportState reports the newest good and the newest verified backup, and counts and
// logs the backups that are not good.
func (r *Runner) reportState(inventory backup.Inventory, result *backupapi.DatabaseResult) {
	records := inventory.Backups[result.Name]
	if newest, found := records.Newest(backup.Record.Good); found {
		result.LastSuccess = &newest.Entry.Taken
	}
	if newest, found := records.Newest(backup.Record.Verified); found {
		result.LastVerified = &newest.Entry.Taken
	}
	for _, record := range records {
		if !record.Good() {
			result.NotGood++
			r.Log.Warn("backup is not good", "database", result.Name, "backup", record.Entry.ID, "condition", record.Condition, "problem", record.Problem)
		}
	}
}

// reportAges reports how old the last good backup is of a database whose backup
// failed: alarms go by that age, so a failure must not silence it.
func (r *Runner) reportAges(ctx context.Context, result *backupapi.DatabaseResult) {
	if r.agesUnknown {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	inventory, err := backup.ReadInventory(ctx, r.Store, result.Name)
	if err != nil {
		r.agesUnknown = true // each attempt may take as long as the clean-up timeout
		return
	}
	r.reportState(inventory, result)
}

// removeOrphans removes what killed runs left behind, whether or not this run
// succeeded.
func (r *Runner) removeOrphans(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	pruner := retention.Pruner{Store: r.Store, Now: r.Now, Log: r.Log, Policy: r.Policy}
	if _, err := pruner.Orphans(ctx, false); err != nil {
		r.Log.Warn("orphans were not all removed", "error", err)
	}
}

// dumpWithRetry takes a snapshot and commits a backup of it. Where a lock, a standby's
// recovery or a change of a table stopped the dump, it starts again with a new snapshot.
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
	m = backup.Manifest{Format: backup.ManifestFormat, ID: id, Database: name, Program: r.Program, Started: started.UTC(), Facts: snapshot.Facts(), Encrypted: len(r.Recipients) > 0, ExcludedDatabases: r.excluded}
	if err := r.checkServer(m.Facts.Server.Identifier); err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			r.discard(ctx, m, err)
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
