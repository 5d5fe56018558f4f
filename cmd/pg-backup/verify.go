package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/backup/verify"
	"github.com/nova/novawire/internal/version"
)

func (p program) verifyVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read backups whole and compare every byte with the manifest",
		Long:  "Reads every object of the newest backup of each database and compares size, SHA-256, frame checksums, rows and\nfingerprints with the manifest. What is found to be damaged is marked, and list shows it.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	chosen := selectionFlags(cmd, everyDatabase)
	deep := cmd.Flags().Bool("deep", false, "have pg_restore read every archive too")
	addFromCopy(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		identities, err := s.identities()
		if err != nil {
			return err
		}
		return s.forEachBackup(ctx, chosen, func(m backup.Manifest, _ *backupapi.DatabaseResult) error {
			verifier := verify.Verifier{Store: s.store, Identities: identities, Progress: &s.progress}
			if *deep {
				verifier.Check = (&postgres.Target{Folders: s.folders(), Major: m.Facts.Server.Major}).Check
			}
			opened, err := verifier.Verify(ctx, m)
			if err != nil {
				s.markDamaged(ctx, m, err)
				return err
			}
			how := "every byte"
			if !opened {
				how = "every stored byte; it is encrypted, and there is no identity to look inside"
			}
			fmt.Fprintf(s.stdout, "%s %s: as the manifest says: %s\n", m.Database, m.ID, how)
			for _, left := range m.LeftOut() {
				fmt.Fprintf(s.stdout, "%s %s: %s\n", m.Database, m.ID, left)
			}
			return nil
		})
	})
	return cmd
}

// markDamaged leaves the verdict beside the manifest, if it is one.
func (s *session) markDamaged(ctx context.Context, m backup.Manifest, err error) {
	if backup.Category(ctx, err) != backupapi.CategoryVerify {
		return
	}
	if markErr := backup.MarkDamaged(ctx, s.store, m, version.String(), s.now(), err); markErr != nil {
		s.log.Warn("damage was not marked", "backup", m.ID, "error", markErr)
	}
}
