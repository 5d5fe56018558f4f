package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// commit writes the manifest, reads it back, and asks the store for every object
// in it. Only then is there a backup, and may older ones go.
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
	back, err := backup.ReadObject(ctx, r.Store, key)
	if err != nil {
		return backup.Fail(backupapi.CategoryStore, fmt.Errorf("read %s back: %w", key, err))
	}
	if !bytes.Equal(back, body) {
		return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("read %s back: it is not what was written", key))
	}
	return nil
}

// putManifest writes it on the condition that there is none. A retry whose first
// answer was lost finds its own.
func (r *Runner) putManifest(ctx context.Context, key string, body []byte) error {
	err := r.Store.PutNew(ctx, key, body)
	if !errors.Is(err, backup.ErrExists) {
		return err
	}
	if there, readErr := backup.ReadObject(ctx, r.Store, key); readErr == nil && bytes.Equal(there, body) {
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
				return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("look for %s: %d bytes were written, %d are there", o.Name, o.Size, there.Size))
			}
		}
	}
	return nil
}
