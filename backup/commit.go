package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	backupapi "github.com/nova/novawire/api/backup"
)

// commit writes the manifest, reads it back, and asks the store for every object
// in it. Only then is there a backup, and may older ones go.
func (r *Runner) commit(ctx context.Context, m *Manifest) error {
	ctx, end := r.Observer.Step(ctx, "commit")
	err := r.commitSteps(ctx, m)
	end(err)
	return err
}

func (r *Runner) commitSteps(ctx context.Context, m *Manifest) error {
	if err := r.objectsAreThere(ctx, *m); err != nil {
		return err
	}
	m.Anomalies = r.compareWithLast(ctx, *m)
	m.Restore = byHand(*m, r.Store.Location())
	m.Committed = r.Now().UTC()
	body, err := m.encode()
	if err != nil {
		return err
	}
	key := m.folder() + manifestName
	if err := r.putManifest(ctx, key, body); err != nil {
		return Fail(backupapi.CategoryStore, fmt.Errorf("commit %s: %w", m.ID, err))
	}
	back, err := readObject(ctx, r.Store, key)
	if err != nil {
		return Fail(backupapi.CategoryStore, fmt.Errorf("read %s back: %w", key, err))
	}
	if !bytes.Equal(back, body) {
		return Fail(backupapi.CategoryVerify, fmt.Errorf("read %s back: it is not what was written", key))
	}
	return nil
}

// putManifest writes it on the condition that there is none. A retry whose first
// answer was lost finds its own.
func (r *Runner) putManifest(ctx context.Context, key string, body []byte) error {
	err := r.Store.PutNew(ctx, key, body)
	if !errors.Is(err, ErrExists) {
		return err
	}
	if there, readErr := readObject(ctx, r.Store, key); readErr == nil && bytes.Equal(there, body) {
		return nil
	}
	return err
}

func (r *Runner) objectsAreThere(ctx context.Context, m Manifest) error {
	for _, stream := range m.Streams {
		for _, o := range stream.Objects {
			there, err := r.Store.Stat(ctx, m.folder()+o.Name)
			if err != nil {
				return Fail(backupapi.CategoryStore, fmt.Errorf("look for %s: %w", o.Name, err))
			}
			if there.Size != o.Size {
				return Fail(backupapi.CategoryVerify, fmt.Errorf("look for %s: %d bytes were written, %d are there", o.Name, o.Size, there.Size))
			}
		}
	}
	return nil
}
