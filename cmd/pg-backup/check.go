package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/backup/verify"
)

func (p program) checkVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare a restored database with the manifest of its backup",
		Long:  "Counts the rows of every table of a database of the server in DATABASE_URL, and their fingerprints, and compares\nthem with the manifest. It changes nothing.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	choice := selectionFlags(cmd, onlyDatabase)
	to := cmd.Flags().String("to", "", "the database that was restored (default: the name of the one that was backed up)")
	addFromCopy(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		address, err := s.address()
		if err != nil {
			return err
		}
		m, err := s.one(ctx, choice)
		if err != nil {
			return err
		}
		database := m.Database
		if *to != "" {
			database = *to
		}
		source := &postgres.Source{Address: address, Folders: s.folders(), LockWait: s.duration(backupapi.EnvLockWait)}
		content, err := verify.Compare(ctx, source, database, m)
		if err != nil {
			return fmt.Errorf("check %s against %s of %s: %w", database, m.ID, m.Database, err)
		}
		fmt.Fprintf(s.stdout, "every table has its rows: %d tables and %d rows as in the manifest of %s\n", len(content.Tables), content.Rows(), m.ID)
		return nil
	})
	return cmd
}
