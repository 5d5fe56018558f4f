package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// orphanAge is the age above which objects without a manifest belong to no run:
// twice the longest deadline.
const orphanAge = 48 * time.Hour

// Orphans removes what killed runs left behind: folders without a manifest and
// uploads that were never completed, once their last object is older than 48 hours.
// It returns what it removed, or with dryRun what it would remove. It depends on no
// manifest and continues after each error.
func (p Pruner) Orphans(ctx context.Context, dryRun bool) (removed []string, err error) {
	now, err := p.TrustedNow(ctx)
	if err != nil {
		return nil, err
	}
	folders, err := p.orphanFolders(ctx, now, dryRun)
	uploads, uploadErr := p.orphanUploads(ctx, now, dryRun)
	return append(folders, uploads...), backup.Fail(backupapi.CategoryStore, errors.Join(err, uploadErr))
}

func (p Pruner) orphanFolders(ctx context.Context, now time.Time, dryRun bool) (removed []string, err error) {
	catalog, err := backup.ReadCatalog(ctx, p.Store, "")
	if err != nil {
		return nil, err
	}
	for _, database := range catalog.Databases() {
		for _, e := range catalog.Entries[database] {
			if e.Committed || e.Held || now.Sub(e.Newest) < orphanAge {
				continue
			}
			if locked, lockErr := p.locked(ctx, e); lockErr != nil || locked {
				err = errors.Join(err, lockErr)
				continue
			}
			removed = append(removed, e.Folder())
			if dryRun {
				continue
			}
			if deleteErr := p.Store.Delete(ctx, e.Keys()...); deleteErr != nil {
				err = errors.Join(err, fmt.Errorf("remove orphan %s: %w", e.Folder(), deleteErr))
			}
		}
	}
	return removed, err
}

// locked reports whether a lock in the store keeps an object of the folder.
func (p Pruner) locked(ctx context.Context, e backup.Entry) (bool, error) {
	for _, key := range e.Keys() {
		if until, err := p.Store.LockedUntil(ctx, key); err != nil || !until.IsZero() {
			return err == nil, err
		}
	}
	return false, nil
}

func (p Pruner) orphanUploads(ctx context.Context, now time.Time, dryRun bool) (removed []string, err error) {
	var stale []backup.Unfinished
	err = p.Store.Unfinished(ctx, func(u backup.Unfinished) error {
		if _, _, _, ours := backup.SplitKey(u.Key); ours && now.Sub(u.Begun) >= orphanAge {
			stale = append(stale, u)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list unfinished uploads: %w", err)
	}
	for _, u := range stale {
		removed = append(removed, u.Key+" (unfinished upload)")
		if dryRun {
			continue
		}
		if discardErr := p.Store.Discard(ctx, u); discardErr != nil {
			err = errors.Join(err, fmt.Errorf("discard upload of %s: %w", u.Key, discardErr))
		}
	}
	return removed, err
}
