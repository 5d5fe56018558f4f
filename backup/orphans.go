package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
)

// leftoverAge is when something without a manifest belongs to no run any more:
// twice the longest deadline.
const leftoverAge = 48 * time.Hour

// Leftovers removes what runs that were killed left behind: folders without a
// manifest and uploads that were never completed, once their last object is
// older than 48 hours. It returns what it removed, or with dryRun would.
func (p Pruner) Leftovers(ctx context.Context, dryRun bool) (removed []string, err error) {
	now, err := p.trustedNow(ctx)
	if err != nil {
		return nil, err
	}
	folders, err := p.leftFolders(ctx, now, dryRun)
	uploads, uploadErr := p.leftUploads(ctx, now, dryRun)
	return append(folders, uploads...), Fail(backupapi.CategoryStore, errors.Join(err, uploadErr))
}

func (p Pruner) leftFolders(ctx context.Context, now time.Time, dryRun bool) (removed []string, err error) {
	catalog, err := ReadCatalog(ctx, p.Store, "")
	if err != nil {
		return nil, err
	}
	for _, database := range catalog.Databases() {
		for _, e := range catalog[database] {
			if e.Committed || e.Held || now.Sub(e.Newest) < leftoverAge {
				continue
			}
			removed = append(removed, e.folder())
			if dryRun {
				continue
			}
			if deleteErr := p.Store.Delete(ctx, e.keys...); deleteErr != nil {
				err = errors.Join(err, fmt.Errorf("remove leftover %s: %w", e.folder(), deleteErr))
			}
		}
	}
	return removed, err
}

func (p Pruner) leftUploads(ctx context.Context, now time.Time, dryRun bool) (removed []string, err error) {
	var stale []Unfinished
	err = p.Store.Unfinished(ctx, func(u Unfinished) error {
		if _, _, _, ours := split(u.Key); ours && now.Sub(u.Begun) >= leftoverAge {
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
