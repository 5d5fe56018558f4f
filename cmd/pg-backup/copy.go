package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/backup/replica"
	"github.com/nova/novawire/backup/retention"
	"github.com/nova/novawire/backup/signature"
)

const fromCopyFlag = "from-copy"

// addFromCopy adds the flag with which a verb uses the second store alone.
func addFromCopy(cmd *cobra.Command) {
	cmd.Flags().Bool(fromCopyFlag, false, "use the second store, $"+backupapi.EnvCopyBucket+"; the first is not asked")
}

// usesCopy reports whether the verb was told to use the second store.
func usesCopy(cmd *cobra.Command) bool {
	flag := cmd.Flags().Lookup(fromCopyFlag)
	return flag != nil && flag.Value.String() == "true"
}

// copyPolicy is the retention of the second store.
func (s settings) copyPolicy() retention.Policy {
	policy := s.policy()
	if days := s.number(backupapi.EnvCopyRetentionDays); days > 0 {
		policy.Days = days
	}
	return policy
}

// copier returns nil if there is no second store.
func (s *session) copier() (*replica.Copier, error) {
	if s.values[backupapi.EnvCopyBucket] == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	store, err := s.copyStore()
	if err != nil {
		return nil, err
	}
	if len(s.keys) > 0 {
		store = &signature.Store{Store: store, Keys: s.keys, Warn: s.warn}
	}
	return &replica.Copier{
		From: s.store, To: store, Now: s.now, Log: s.log, Policy: s.copyPolicy(),
		AtATime: s.streams, PartSize: dump.DefaultLayout.PartSize,
	}, nil
}

// copyBackups copies what the second store lacks, also of databases whose backup has
// failed. It adds to the results of the databases; the error has the category copy, for
// the backups themselves are committed.
func (s *session) copyBackups(ctx context.Context, copier *replica.Copier) (failed error) {
	if copier == nil {
		return nil
	}
	for i := range s.result.Databases {
		result := &s.result.Databases[i]
		ctx, end := s.recorder.Step(ctx, "copy backups", "database", result.Name)
		copied, err := copier.Database(ctx, result.Name)
		end(err)
		result.Copied, result.LastCopied = copied.Backups, copied.Newest
		if err != nil {
			result.CopyFailed = err.Error()
			s.log.Error("copy failed; the next run tries again", "database", result.Name, "category", backup.Category(ctx, err), "error", err)
			failed = errors.Join(failed, backup.Recategorize(backupapi.CategoryCopy, fmt.Errorf("copy the backups of %s: %w", result.Name, err)))
		}
	}
	if err := copier.Orphans(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("orphans of the copy were not all removed", "error", err)
	}
	return failed
}
