package main

import (
	"context"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

func (p program) holdVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Keep a backup from being pruned, or release it",
		Long:  "Puts a hold.json beside the manifest; a backup that has one is never pruned.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	chosen := selectionFlags(cmd, onlyDatabase)
	reason := cmd.Flags().String("reason", "", "the reason, for others who find the hold")
	release := cmd.Flags().Bool("release", false, "remove the hold")
	addFromCopy(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		m, err := s.one(ctx, chosen)
		if err != nil {
			return err
		}
		if *release {
			return backup.Fail(backupapi.CategoryStore, backup.Release(ctx, s.store, m))
		}
		return backup.Fail(backupapi.CategoryStore, backup.Hold(ctx, s.store, m, *reason, s.now()))
	})
	return cmd
}
