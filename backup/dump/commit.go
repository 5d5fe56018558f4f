package dump

import (
	"context"
	"errors"
	"fmt"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// commit checks that the store has every object, writes the manifest and reads it
// back. Only then there is a backup, and older ones may be deleted.
func (r *Runner) commit(ctx context.Context, m *backup.Manifest) error {
	ctx, end := r.Observer.Step(ctx, "commit")
	err := r.writeManifest(ctx, m)
	end(err)
	return err
}

func (r *Runner) writeManifest(ctx context.Context, m *backup.Manifest) error {
	if err := r.checkObjects(ctx, *m); err != nil {
		return err
	}
	m.Anomalies = r.compareWithLast(ctx, *m)
	m.Evidence = r.newestEvidence(ctx, m.Database)
	m.Restore = manualRestore(*m, r.Store.Location())
	m.Committed = r.Now().UTC()
	body, err := m.Encode()
	if err != nil {
		return err
	}
	key := m.Folder() + backup.ManifestName
	if err := r.putManifest(ctx, key, body); err != nil {
		return backup.Fail(backupapi.CategoryStore, fmt.Errorf("commit %s: %w", m.ID, err))
	}
	same, err := backup.HoldsContent(ctx, r.Store, key, body)
	if err != nil {
		return backup.Fail(backupapi.CategoryStore, fmt.Errorf("read %s back: %w", key, err))
	}
	if !same {
		return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("read %s back: the store returns other bytes than were written", key))
	}
	return nil
}

// newestEvidence returns nil where the evidence cannot be read: it stops no backup.
func (r *Runner) newestEvidence(ctx context.Context, database string) *backup.EvidenceHead {
	if r.Evidence == nil {
		return nil
	}
	head, err := r.Evidence(ctx, database)
	if err != nil {
		r.Log.Warn("manifest names no evidence", "database", database, "error", err)
		return nil
	}
	return head
}

// putManifest writes the manifest if there is none. Where the answer to an earlier
// attempt was lost, it finds its own manifest, which is a success.
func (r *Runner) putManifest(ctx context.Context, key string, body []byte) error {
	err := r.Store.PutNew(ctx, key, body)
	if !errors.Is(err, backup.ErrExists) {
		return err
	}
	if same, readErr := backup.HoldsContent(ctx, r.Store, key, body); readErr == nil && same {
		return nil
	}
	return err
}

func (r *Runner) checkObjects(ctx context.Context, m backup.Manifest) error {
	for _, stream := range m.Streams {
		for _, o := range stream.Objects {
			there, err := r.Store.Stat(ctx, m.Folder()+o.Name)
			if err != nil {
				return backup.Fail(backupapi.CategoryStore, fmt.Errorf("look for %s: %w", o.Name, err))
			}
			if there.Size != o.Size {
				return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("look for %s: %d bytes were written, the store has %d", o.Name, o.Size, there.Size))
			}
		}
	}
	return nil
}

// discard deletes everything that a failed attempt wrote, the manifest first: a run
// that failed leaves nothing that counts as a backup. Where the manifest cannot be
// deleted, it is marked as damaged. Other objects without a manifest are no backup
// and are removed as orphans later.
func (r *Runner) discard(ctx context.Context, m backup.Manifest, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	if errors.Is(cause, backup.ErrExists) {
		if _, err := backup.ReadManifest(ctx, r.Store, m.Database, m.ID); err == nil {
			return // another run's backup has the same name
		}
	}
	manifest := m.Folder() + backup.ManifestName
	var keys []string
	committed := false
	err := r.Store.List(ctx, m.Folder(), func(o backup.Object) error {
		if o.Key == manifest {
			committed = true
		} else {
			keys = append(keys, o.Key)
		}
		return nil
	})
	if err == nil && committed {
		if err = r.Store.Delete(ctx, manifest); err != nil {
			err = errors.Join(err, backup.MarkDamaged(ctx, r.Store, m, r.Program, r.Now(), errRunFailed))
		}
	}
	if err == nil && len(keys) > 0 {
		err = r.Store.Delete(ctx, keys...)
	}
	if err != nil {
		r.Log.Warn("failed run left objects in the store", "database", m.Database, "backup", m.ID, "error", err)
	}
}

// errRunFailed is the verdict on a backup whose run failed after the manifest was
// written and could not delete it.
var errRunFailed = errors.New("the run failed after it had written the manifest, and could not delete it")
