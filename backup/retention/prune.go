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

// Pruner deletes the backups that retention does not keep.
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
	Locked    int // that would have been deleted, and that a lock in the store keeps
}

// Database prunes one database of the inventory and takes what it deleted out of it;
// with dryRun it only decides. It deletes nothing where the clock is in doubt or more
// than half would go: both have the category refused.
func (p Pruner) Database(ctx context.Context, inventory backup.Inventory, database string, dryRun bool) (plan Pruned, err error) {
	now, err := p.TrustedNow(ctx)
	if err != nil {
		return plan, err
	}
	plan.Decisions = Retain(inventory.Backups[database], p.Policy, now)
	if err := checkShare(plan.Decisions, p.Policy); err != nil {
		return plan, backup.Fail(backupapi.CategoryRefused, err)
	}
	if dryRun {
		return plan, nil
	}
	plan.Deleted, plan.Locked, err = p.delete(ctx, inventory, plan.Decisions)
	return plan, backup.Fail(backupapi.CategoryStore, err)
}

// TrustedNow returns the time if this clock and the store's agree.
func (p Pruner) TrustedNow(ctx context.Context) (time.Time, error) {
	theirs, err := p.Store.Now(ctx)
	if err != nil {
		return theirs, backup.Fail(backupapi.CategoryStore, fmt.Errorf("ask the store for the time: %w", err))
	}
	return theirs, backup.Fail(backupapi.CategoryRefused, checkSkew(p.Now(), theirs))
}

// delete continues after a backup that could not be deleted.
func (p Pruner) delete(ctx context.Context, inventory backup.Inventory, decisions []Decision) (deleted, locked int, err error) {
	for i, d := range decisions {
		if !d.Delete {
			continue
		}
		e := d.Record.Entry
		until, removeErr := p.remove(ctx, e)
		switch {
		case removeErr != nil:
			err = errors.Join(err, fmt.Errorf("delete backup %s: %w", e.ID, removeErr))
		case !until.IsZero():
			locked++
			decisions[i].Delete, decisions[i].Reason = false, "locked in the store until "+until.UTC().Format(time.RFC3339)
			p.Log.Info("backup is locked", "database", e.Database, "backup", e.ID, "until", until)
		default:
			deleted++
			inventory.Remove(e.Database, e.ID)
			p.Log.Info("backup deleted", "database", e.Database, "backup", e.ID, "reason", d.Reason)
		}
	}
	return deleted, locked, err
}

// remove deletes one backup. It deletes the manifest first, so that a crash leaves
// objects without a manifest, and never a manifest without its objects. Where a lock
// forbids the deletion it returns until when.
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
	for _, key := range e.Keys() {
		if key != manifest {
			rest = append(rest, key)
		}
	}
	if len(rest) == 0 {
		return time.Time{}, nil
	}
	return time.Time{}, p.Store.Delete(ctx, rest...)
}
