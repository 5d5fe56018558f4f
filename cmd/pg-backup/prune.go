package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/retention"
)

func (p program) pruneVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete the backups that retention lets go",
		Long:  "Deletes a backup only if it is older than RETENTION_DAYS, and not among the newest KEEP_MINIMUM, and not the newest\nthat a drill restored, and not held, and not locked. Also what killed runs left behind 48 hours ago.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "print what would happen, and delete nothing")
	many := cmd.Flags().Bool("take-many", false, "delete also where that is more than half of a database's backups")
	database := cmd.Flags().String("database", "", "only this database's")
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		s.result.DryRun = *dryRun
		pruner := retention.Pruner{Store: s.store, Now: s.now, Log: s.log, Policy: s.policy()}
		pruner.Policy.TakeMany = *many
		return s.prune(ctx, pruner, *database, *dryRun)
	})
	return cmd
}

func (s *session) prune(ctx context.Context, pruner retention.Pruner, database string, dryRun bool) error {
	catalog, err := backup.ReadCatalog(ctx, s.store, database)
	if err != nil {
		return backup.Fail(backupapi.CategoryStore, err)
	}
	table := tabwriter.NewWriter(s.stdout, 0, 4, 2, ' ', 0)
	var failed error
	for _, name := range catalog.Databases() {
		plan, err := pruner.Database(ctx, name, dryRun)
		for _, d := range plan.Decisions {
			verdict := "keep"
			if d.Delete {
				verdict = "delete"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", verdict, name, d.Entry.ID, d.Reason)
		}
		result := backupapi.DatabaseResult{Name: name, Pruned: plan.Deleted, Category: backup.Category(ctx, err)}
		if err != nil {
			result.Message = err.Error()
			failed = errors.Join(failed, fmt.Errorf("prune %s: %w", name, err))
		}
		s.result.Databases = append(s.result.Databases, result)
	}
	if failed == nil {
		var removed []string
		removed, failed = pruner.Orphans(ctx, dryRun)
		for _, what := range removed {
			fmt.Fprintf(table, "delete\t-\t%s\tleft behind by a run that did not finish\n", what)
		}
	}
	return errors.Join(failed, table.Flush())
}
