// Package replica copies committed backups to a second store, byte for byte, and
// verifies what has arrived. The copy has its own retention. It decrypts nothing and
// needs no key.
package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/evidence"
	"github.com/nova/novawire/backup/retention"
)

// Copier copies backups from one store to another.
type Copier struct {
	From   backup.Reader
	To     backup.Store
	Now    func() time.Time
	Log    *slog.Logger
	Policy retention.Policy // of the copy
	// AtATime is how many objects are copied at the same time. Each has one part in memory.
	AtATime int
	// PartSize is the size of a part in bytes.
	PartSize int
}

// Copied is what was done for one database.
type Copied struct {
	Backups int        // that were copied
	Pruned  int        // that were deleted from the copy
	Newest  *time.Time // when the newest good backup in the copy was begun
}

// Database copies what the second store lacks of a database, the newest backup first,
// and prunes the second store. What cannot be copied now is tried again by the next
// call. It continues after a backup that cannot be copied.
func (c Copier) Database(ctx context.Context, database string) (done Copied, err error) {
	source, err := backup.ReadInventory(ctx, c.From, database)
	if err != nil {
		return done, fmt.Errorf("read the backups: %w", err)
	}
	target, err := backup.ReadInventory(ctx, c.To, database)
	if err != nil {
		return done, fmt.Errorf("read the copies: %w", err)
	}
	now, err := c.pruner().TrustedNow(ctx)
	if err != nil {
		return done, err
	}
	var failed error
	for _, r := range missing(source.Backups[database], target.Backups[database], c.Policy, now) {
		if err := c.backup(ctx, r); err != nil {
			failed = errors.Join(failed, fmt.Errorf("copy %s: %w", r.Entry.ID, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		done.Backups++
		c.Log.Info("backup copied", "database", database, "backup", r.Entry.ID, "to", c.To.Location())
	}
	failed = errors.Join(failed, c.verdicts(ctx, source.Backups[database], target.Backups[database]), c.evidence(ctx, database))
	pruneErr := c.prune(ctx, database, &done)
	return done, errors.Join(failed, pruneErr)
}

// missing returns the good backups that the copy lacks and that its retention would
// keep, the newest first. A copy that is incomplete is copied again.
func missing(source, target backup.Records, policy retention.Policy, now time.Time) (records []backup.Record) {
	present := map[string]bool{}
	all := backup.Records{}
	for _, r := range target {
		if r.Condition != backup.Incomplete {
			present[r.Entry.ID] = true
			all = append(all, r)
		}
	}
	for _, r := range source {
		if r.Good() && !present[r.Entry.ID] {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b backup.Record) int { return cmp.Compare(b.Entry.ID, a.Entry.ID) })
	for _, d := range retention.Retain(all, policy, now) {
		if !d.Delete && !present[d.Record.Entry.ID] {
			records = append(records, d.Record)
		}
	}
	return records
}

// verdicts copies the verdicts of drills that the copy lacks or that are newer.
func (c Copier) verdicts(ctx context.Context, source, target backup.Records) (err error) {
	copies := map[string]backup.Entry{}
	for _, r := range target {
		copies[r.Entry.ID] = r.Entry
	}
	for _, r := range source {
		verdict, there := r.Entry.Objects[backup.VerificationName]
		copied, isCopied := copies[r.Entry.ID]
		if there && isCopied && verdict.Modified.After(copied.Objects[backup.VerificationName].Modified) {
			err = errors.Join(err, c.beside(ctx, r.Entry))
		}
	}
	return err
}

// evidence copies the records that the copy lacks.
func (c Copier) evidence(ctx context.Context, database string) error {
	present := map[string]bool{}
	err := c.To.List(ctx, evidence.Folder(database), func(o backup.Object) error {
		present[o.Key] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("list evidence of the copy: %w", err)
	}
	var keys []string
	err = c.From.List(ctx, evidence.Folder(database), func(o backup.Object) error {
		if !present[o.Key] {
			keys = append(keys, o.Key)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list evidence: %w", err)
	}
	var failed error
	for _, key := range keys {
		// Whoever can write the bucket can add what is no record; the others are copied.
		err := c.small(ctx, key, evidence.MaxRecordBytes, c.To.PutNew)
		if err != nil && !errors.Is(err, backup.ErrExists) {
			failed = errors.Join(failed, fmt.Errorf("copy record %s: %w", path.Base(key), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

func (c Copier) pruner() retention.Pruner {
	return retention.Pruner{Store: c.To, Now: c.Now, Log: c.Log, Policy: c.Policy}
}

// prune applies the copy's retention to the copy alone.
func (c Copier) prune(ctx context.Context, database string, done *Copied) error {
	inventory, err := backup.ReadInventory(ctx, c.To, database)
	if err != nil {
		return fmt.Errorf("read the copies: %w", err)
	}
	if newest, found := inventory.Backups[database].Newest(backup.Record.Good); found {
		done.Newest = &newest.Entry.Taken
	}
	plan, err := c.pruner().Database(ctx, inventory, database, false)
	done.Pruned = plan.Deleted
	if writeErr := inventory.WriteSummaries(ctx, c.To); writeErr != nil {
		c.Log.Warn("summary of the copies was not written", "database", database, "error", writeErr)
	}
	if err != nil {
		return fmt.Errorf("prune the copies: %w", err)
	}
	return nil
}

// Orphans removes what copies left behind that did not finish.
func (c Copier) Orphans(ctx context.Context) error {
	_, err := c.pruner().Orphans(ctx, false)
	return err
}

func verifyError(format string, args ...any) error {
	return backup.Fail(backupapi.CategoryVerify, fmt.Errorf(format, args...))
}
