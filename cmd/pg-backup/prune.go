package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/retention"
)

func (p program) pruneVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete the backups that retention does not keep",
		Long:  "Deletes a backup only if it is older than RETENTION_DAYS, not among the newest KEEP_MINIMUM good ones, not the newest\nthat a drill restored, not held and not locked. A damaged backup never counts towards KEEP_MINIMUM, and without a good\none nothing is deleted. Also deletes what killed runs left behind more than 48 hours ago.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "print what would be deleted, and delete nothing")
	many := cmd.Flags().Bool("take-many", false, "delete even if that is more than half of a database's backups")
	database := cmd.Flags().String("database", "", "only the backups of this database")
	addFromCopy(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		s.result.DryRun = *dryRun
		pruner := retention.Pruner{Store: s.store, Now: s.now, Log: s.log, Policy: s.policy()}
		if usesCopy(cmd) {
			pruner.Policy = s.copyPolicy()
		}
		pruner.Policy.TakeMany = *many
		return s.prune(ctx, pruner, *database, *dryRun)
	})
	return cmd
}

// prune prunes every database and then removes orphans. Each step is taken whether or
// not another one failed.
func (s *session) prune(ctx context.Context, pruner retention.Pruner, database string, dryRun bool) error {
	table := tabwriter.NewWriter(s.stdout, 0, 4, 2, ' ', 0)
	inventory, failed := backup.ReadInventory(ctx, s.store, database)
	if failed == nil {
		failed = s.pruneDatabases(ctx, pruner, inventory, table, dryRun)
		if !dryRun {
			s.writeSummaries(ctx, inventory)
		}
	}
	removed, err := pruner.Orphans(ctx, dryRun)
	for _, what := range removed {
		fmt.Fprintf(table, "delete\t-\t%s\tleft behind by a run that did not finish\n", what)
	}
	return errors.Join(failed, err, table.Flush())
}

func (s *session) pruneDatabases(ctx context.Context, pruner retention.Pruner, inventory backup.Inventory, table io.Writer, dryRun bool) (failed error) {
	var unreadable []string
	for _, name := range inventory.Databases() {
		result := backupapi.DatabaseResult{Name: name, NotGood: inventory.Backups[name].NotGood()}
		plan, err := pruner.Database(ctx, inventory, name, dryRun)
		for _, d := range plan.Decisions {
			verdict := "keep"
			if d.Delete {
				verdict = "delete"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", verdict, name, d.Record.Entry.ID, oneLine(d.Reason))
			if c := d.Record.Condition; c == backup.Unreadable || c == backup.Unproven || c == backup.Misdated || c == backup.Unsigned {
				unreadable = append(unreadable, fmt.Sprintf("%s of %s is %s: %s", d.Record.Entry.ID, name, c, d.Record.Problem))
			}
		}
		result.Pruned, result.Locked = plan.Deleted, plan.Locked
		if err != nil {
			result.Category, result.Message = backup.Category(ctx, err), err.Error()
			if errors.Is(err, retention.ErrTooMany) {
				result.PruneRefused = err.Error()
			}
			s.log.Error("prune failed", "database", name, "category", result.Category, "error", err)
			failed = errors.Join(failed, backup.Fail(result.Category, fmt.Errorf("prune %s: %w", name, err)))
		}
		s.result.Databases = append(s.result.Databases, result)
	}
	if len(unreadable) > 0 {
		failed = errors.Join(failed, backup.Fail(backupapi.CategoryVerify, fmt.Errorf("%d backups are kept because retention cannot judge them: %s", len(unreadable), backup.Summarize(unreadable))))
	}
	return failed
}
