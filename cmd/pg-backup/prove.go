package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/internal/version"
)

func (p program) verifyVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read backups whole and compare every byte with the manifest",
		Long:  "Reads every object of the newest backup of each database and compares size, SHA-256, frame checksums, rows and\nfingerprints with the manifest. What is found to be damaged is marked, and list shows it.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	choice := selectFlags(cmd)
	deep := cmd.Flags().Bool("deep", false, "have pg_restore read every archive too")
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		identities, err := s.identities()
		if err != nil {
			return err
		}
		return s.each(ctx, choice, func(m backup.Manifest, _ *backupapi.DatabaseResult) error {
			verifier := backup.Verifier{Store: s.store, Identities: identities, Progress: &s.progress}
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

func (p program) drillVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Restore backups into a throw-away server and compare",
		Long:  "Starts a PostgreSQL of the backup's major version from the programs at hand, on a socket in a folder of its own,\nrestores the newest backup of each database, compares rows and fingerprints of every table with the manifest,\nand writes verify.json beside it. It never touches another server.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	choice := selectFlags(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		identities, err := s.identities()
		if err != nil {
			return err
		}
		driller := backup.Driller{
			Store: s.store, Scratch: &postgres.Scratch{Folders: s.folders(), Parent: s.values[backupapi.EnvScratchDirectory]},
			Now: s.now, Log: s.log, Observer: s.recorder, Progress: &s.progress, Program: version.String(), Identities: identities, Streams: s.streams,
		}
		return s.each(ctx, choice, func(m backup.Manifest, result *backupapi.DatabaseResult) error {
			v, err := driller.Drill(ctx, m)
			for _, warning := range v.Warnings {
				s.log.Warn("restore warned", "database", m.Database, "warning", warning)
			}
			if err != nil {
				return err
			}
			result.LastVerified = &m.Facts.Taken
			fmt.Fprintf(s.stdout, "%s %s: restored in %.1fs, %d tables and %d rows as in the manifest\n", m.Database, m.ID, v.Seconds, v.Tables, v.Rows)
			return nil
		})
	})
	return cmd
}
