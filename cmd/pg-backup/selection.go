package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// selection holds the flags that choose backups.
type selection struct{ database, id *string }

const latest = "latest"

// What a verb does without the flag database.
const (
	everyDatabase = "every database that has backups"
	onlyDatabase  = "the one that has backups, if it is the only one"
)

func selectionFlags(cmd *cobra.Command, without string) selection {
	return selection{
		database: cmd.Flags().String("database", "", "the database whose backup is used (default: "+without+")"),
		id:       cmd.Flags().String("backup", latest, "the backup's id, as list shows it"),
	}
}

// choice is the backup of one database that was chosen.
type choice struct {
	database string
	record   backup.Record
	found    bool
	notGood  backup.Records // backups that were passed over
}

// choose chooses a backup of each database: the one that was named or, for latest,
// the newest that the verb accepts.
func (c selection) choose(inventory backup.Inventory, accepts func(backup.Record) bool) (choices []choice) {
	for _, database := range inventory.Databases() {
		one := choice{database: database}
		records := inventory.Backups[database]
		if *c.id != latest {
			one.record, one.found = records.Newest(func(r backup.Record) bool { return r.Entry.ID == *c.id })
			if one.found {
				choices = append(choices, one)
			}
			continue
		}
		one.record, one.found = records.Newest(accepts)
		for _, r := range records {
			if !accepts(r) {
				one.notGood = append(one.notGood, r)
			}
		}
		choices = append(choices, one)
	}
	return choices
}

// one reads the manifest of the only backup that was chosen. The newest good backup
// is the latest; newer ones that are not good are logged.
func (s *session) one(ctx context.Context, c selection) (backup.Manifest, error) {
	inventory, err := backup.ReadInventory(ctx, s.store, *c.database)
	if err != nil {
		return backup.Manifest{}, err
	}
	choices := c.choose(inventory, backup.Record.Good)
	switch {
	case len(choices) == 0:
		return backup.Manifest{}, c.noneFound()
	case len(choices) > 1:
		return backup.Manifest{}, usageError("several databases have a backup: choose one with --database")
	}
	chosen := choices[0]
	for _, r := range chosen.notGood {
		if !chosen.found || r.Entry.ID > chosen.record.Entry.ID {
			s.log.Warn("newer backup is passed over", "database", chosen.database, "backup", r.Entry.ID, "condition", r.Condition, "problem", r.Problem)
		}
	}
	if !chosen.found {
		newest := chosen.notGood[0]
		return backup.Manifest{}, backup.Fail(backupapi.CategoryVerify, fmt.Errorf(
			"no backup of database %s is good; the newest, %s, is %s: %s: look at `pg-backup list`, then name one with --backup", chosen.database, newest.Entry.ID, newest.Condition, newest.Problem))
	}
	m, err := backup.ReadManifest(ctx, s.store, chosen.database, chosen.record.Entry.ID)
	return m, backup.Fail(backupapi.CategoryStore, err)
}

func (c selection) noneFound() error {
	return usageError("there is no backup of database %q named %q: look at `pg-backup list`", *c.database, *c.id)
}

// forEachBackup does something with the chosen backup of each database. It continues
// after one that fails, and reports and counts the manifests that cannot be used. The
// error joins the errors of all.
func (s *session) forEachBackup(ctx context.Context, c selection, do func(backup.Manifest, *backupapi.DatabaseResult) error) error {
	inventory, err := backup.ReadInventory(ctx, s.store, *c.database)
	if err != nil {
		return err
	}
	s.writeSummaries(ctx, inventory)
	choices := c.choose(inventory, backup.Record.Readable)
	if len(choices) == 0 {
		return c.noneFound()
	}
	var failed error
	for _, chosen := range choices {
		result := backupapi.DatabaseResult{Name: chosen.database, NotGood: inventory.Backups[chosen.database].NotGood()}
		started := s.now()
		doErr := s.withChosen(ctx, chosen, &result, do)
		if doErr != nil {
			result.Category, result.Message = backup.Category(ctx, doErr), doErr.Error()
			s.log.Error("database failed", "verb", s.result.Verb, "database", chosen.database, "backup", result.Backup, "category", result.Category, "error", doErr)
			failed = errors.Join(failed, backup.Fail(result.Category, fmt.Errorf("%s %s: %w", s.result.Verb, chosen.database, doErr)))
		}
		result.Seconds = s.now().Sub(started).Seconds()
		s.result.Databases = append(s.result.Databases, result)
	}
	return errors.Join(failed, s.reportUnusable(choices))
}

// withChosen does something with one chosen backup.
func (s *session) withChosen(ctx context.Context, chosen choice, result *backupapi.DatabaseResult, do func(backup.Manifest, *backupapi.DatabaseResult) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("not begun: %w", context.Cause(ctx))
	}
	if !chosen.found {
		return backup.Fail(backupapi.CategoryVerify, errors.New("no backup has a manifest that can be used"))
	}
	result.Backup = chosen.record.Entry.ID
	m, err := backup.ReadManifest(ctx, s.store, chosen.database, chosen.record.Entry.ID)
	if err != nil {
		return backup.Fail(backupapi.CategoryStore, err)
	}
	result.Bytes, result.Stored, result.Rows = m.Bytes(), m.Stored(), m.Content.Rows()
	return do(m, result)
}

// reportUnusable logs every backup that was passed over and returns them as one error.
func (s *session) reportUnusable(choices []choice) error {
	var all []string
	for _, chosen := range choices {
		for _, r := range chosen.notGood {
			s.log.Error("backup cannot be used", "database", chosen.database, "backup", r.Entry.ID, "condition", r.Condition, "problem", r.Problem)
			all = append(all, fmt.Sprintf("%s of %s is %s: %s", r.Entry.ID, chosen.database, r.Condition, r.Problem))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return backup.Fail(backupapi.CategoryVerify, fmt.Errorf("%d backups cannot be used: %s", len(all), backup.Summarize(all)))
}

// writeSummaries updates the summaries that make the next listing fast.
func (s *session) writeSummaries(ctx context.Context, inventory backup.Inventory) {
	if err := inventory.WriteSummaries(ctx, s.store); err != nil {
		s.log.Warn("summary of the backups was not written", "error", err)
	}
}
