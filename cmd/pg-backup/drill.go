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

func (p program) drillVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Restore backups into a throw-away server and compare",
		Long:  "Starts a PostgreSQL of the backup's major version from the programs at hand, on a socket in a folder of its own,\nrestores the newest backup of each database, compares rows and fingerprints of every table with the manifest,\nand writes verify.json beside it. It never touches another server.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	chosen := selectionFlags(cmd, everyDatabase)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		identities, err := s.identities()
		if err != nil {
			return err
		}
		driller := verify.Driller{
			Store: s.store, Scratch: &postgres.Scratch{Folders: s.folders(), Parent: s.values[backupapi.EnvScratchDirectory]},
			Now: s.now, Log: s.log, Observer: s.recorder, Progress: &s.progress, Program: version.String(), Identities: identities, Streams: s.streams,
			CheckFirst: s.verifies(),
		}
		if s.key != nil {
			driller.Evidence = s.writeEvidence
		}
		return s.forEachBackup(ctx, chosen, func(m backup.Manifest, result *backupapi.DatabaseResult) error {
			v, err := driller.Drill(ctx, m)
			for _, warning := range v.Warnings {
				s.log.Warn("restore warned", "database", m.Database, "warning", warning)
			}
			if err != nil {
				return err
			}
			taken, _ := backup.TimeOfID(m.ID)
			result.LastVerified = &taken
			fmt.Fprintf(s.stdout, "%s %s: restored in %.1fs, %d tables and %d rows as in the manifest\n", m.Database, m.ID, v.Seconds, v.Tables, v.Rows)
			return nil
		})
	})
	return cmd
}
