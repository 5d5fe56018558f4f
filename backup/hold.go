package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Hold keeps a backup from being pruned until it is released.
func Hold(ctx context.Context, store Store, m Manifest, reason string, at time.Time) error {
	body, err := json.Marshal(map[string]any{"reason": reason, "since": at.UTC()})
	if err != nil {
		return fmt.Errorf("encode hold: %w", err)
	}
	if err := store.Put(ctx, m.Folder()+HoldName, append(body, '\n')); err != nil {
		return fmt.Errorf("hold %s: %w", m.ID, err)
	}
	return nil
}

// Release removes the hold of a backup.
func Release(ctx context.Context, store Store, m Manifest) error {
	if err := store.Delete(ctx, m.Folder()+HoldName); err != nil {
		return fmt.Errorf("release %s: %w", m.ID, err)
	}
	return nil
}
