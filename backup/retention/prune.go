package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// Pruner deletes what retention lets go.
type Pruner struct {
	Store  backup.Store
	Now    func() time.Time
	Log    *slog.Logger
	Policy Policy
}

// Pruned is what a prune of one database decided and did.
type Pruned struct {
	Decisions []Decision
	Deleted   int
	Verified  *backup.Entry // the newest that a drill restored
}

// Database prunes one database; with dryRun it only decides. It deletes nothing
// at all where the clock is in doubt or more than half would go.
func (p Pruner) Database(ctx context.Context, database string, dryRun bool) (Pruned, error) {
	catalog, err := backup.ReadCatalog(ctx, p.Store, database)
	if err != nil {
		return Pruned{}, backup.Fail(backupapi.CategoryStore, err)
	}
	backups := catalog.Committed(database)
	var plan Pruned
	verified, found, err := backup.NewestVerified(ctx, p.Store, backups)
	if err != nil {
		return plan, backup.Fail(backupapi.CategoryStore, fmt.Errorf("find the newest verified backup: %w", err))
	}
	if found {
		plan.Verified = &verified
	}
	now, err := p.TrustedNow(ctx)
	if err != nil {
		return plan, err
	}
	plan.Decisions = Retain(backups, verified.ID, p.Policy, now)
	if err := checkShare(plan.Decisions, p.Policy); err != nil {
		return plan, backup.Fail(backupapi.CategoryRefused, err)
	}
	if dryRun {
		return plan, nil
	}
	plan.Deleted, err = p.delete(ctx, plan.Decisions)
	return plan, err
}

// TrustedNow is the time if this clock and the store's agree.
func (p Pruner) TrustedNow(ctx context.Context) (time.Time, error) {
	theirs, err := p.Store.Now(ctx)
	if err != nil {
		return theirs, backup.Fail(backupapi.CategoryStore, fmt.Errorf("ask the store for the time: %w", err))
	}
	return theirs, backup.Fail(backupapi.CategoryRefused, checkSkew(p.Now(), theirs))
}

// delete goes on after a backup that could not be deleted: each stands for itself.
func (p Pruner) delete(ctx context.Context, decisions []Decision) (deleted int, err error) {
	for i, d := range decisions {
		if !d.Delete {
			continue
		}
		until, lockErr := p.remove(ctx, d.Entry)
		switch {
		case lockErr != nil:
			err = errors.Join(err, fmt.Errorf("delete backup %s: %w", d.Entry.ID, lockErr))
		case !until.IsZero():
			decisions[i].Delete, decisions[i].Reason = false, "locked in the store until "+until.UTC().Format(time.RFC3339)
			p.Log.Info("backup is locked", "database", d.Entry.Database, "backup", d.Entry.ID, "until", until)
		default:
			deleted++
			p.Log.Info("backup deleted", "database", d.Entry.Database, "backup", d.Entry.ID, "reason", d.Reason)
		}
	}
	return deleted, err
}

// remove deletes one backup, the manifest first: what a crash leaves is garbage,
// never a manifest that promises what is gone. It returns until when a lock
// forbids that.
func (p Pruner) remove(ctx context.Context, e backup.Entry) (time.Time, error) {
	manifest := e.Folder() + backup.ManifestName
	until, err := p.Store.LockedUntil(ctx, manifest)
	if err != nil || !until.IsZero() {
		return until, err
	}
	if err := p.Store.Delete(ctx, manifest); err != nil {
		return time.Time{}, err
	}
	var rest []string
	for _, key := range e.Keys {
		if key != manifest {
			rest = append(rest, key)
		}
	}
	if len(rest) == 0 {
		return time.Time{}, nil
	}
	return time.Time{}, p.Store.Delete(ctx, rest...)
}
