package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// selection is the flags that choose backups.
type selection struct{ database, id *string }

func selectionFlags(cmd *cobra.Command) selection {
	return selection{
		database: cmd.Flags().String("database", "", "the database whose backup it is (default: every one that has backups)"),
		id:       cmd.Flags().String("backup", "latest", "the backup's id, as list shows it"),
	}
}

// manifests reads those that were chosen.
func (c selection) manifests(ctx context.Context, store backup.Reader) ([]backup.Manifest, error) {
	catalog, err := backup.ReadCatalog(ctx, store, *c.database)
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryStore, err)
	}
	var chosen []backup.Manifest
	for _, database := range catalog.Databases() {
		for _, e := range catalog.Committed(database) {
			if *c.id != "latest" && e.ID != *c.id {
				continue
			}
			m, err := backup.ReadManifest(ctx, store, database, e.ID)
			if err != nil {
				return nil, backup.Fail(backupapi.CategoryStore, err)
			}
			chosen = append(chosen, m)
			break
		}
	}
	if len(chosen) == 0 {
		return nil, usageError("choose a backup: there is none of database %q named %q", *c.database, *c.id)
	}
	return chosen, nil
}

// one reads the only backup that was chosen.
func (c selection) one(ctx context.Context, store backup.Reader) (backup.Manifest, error) {
	chosen, err := c.manifests(ctx, store)
	if err != nil {
		return backup.Manifest{}, err
	}
	if len(chosen) > 1 {
		return backup.Manifest{}, usageError("choose a backup: several databases have one: set --database")
	}
	return chosen[0], nil
}

// forEachBackup does something with every chosen backup, and goes on after one that fails.
func (s *session) forEachBackup(ctx context.Context, c selection, do func(backup.Manifest, *backupapi.DatabaseResult) error) error {
	chosen, err := c.manifests(ctx, s.store)
	if err != nil {
		return err
	}
	var first error
	for _, m := range chosen {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		started := s.now()
		result := backupapi.DatabaseResult{Name: m.Database, Backup: m.ID, Bytes: m.Bytes(), Stored: m.Stored(), Rows: m.Content.Rows()}
		if err := do(m, &result); err != nil {
			result.Category, result.Message = backup.Category(ctx, err), err.Error()
			if first == nil {
				first = fmt.Errorf("%s %s of %s: %w", s.result.Verb, m.ID, m.Database, err)
			}
		}
		result.Seconds = s.now().Sub(started).Seconds()
		s.result.Databases = append(s.result.Databases, result)
	}
	return first
}
