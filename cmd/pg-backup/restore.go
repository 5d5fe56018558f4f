package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/backup/restore"
)

func (p program) restoreVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Bring a backup back into a new database",
		Long:  "Restores into a database of the server in DATABASE_URL that does not exist yet, or is empty. One that has anything\nin it is refused.\n\n" + exitCodes(),
		Args:  cobra.NoArgs,
	}
	chosen := selectionFlags(cmd, onlyDatabase)
	to := cmd.Flags().String("to", "", "the database to make (default: the name of the one that was backed up)")
	only := cmd.Flags().StringArray("only", nil, "only these schemas, or tables as schema.table, written as SQL does and separated by commas; what they need comes too")
	globals := cmd.Flags().Bool("globals", false, "also make the roles and tablespaces that the server does not have; those that it has are left as they are")
	passwords := cmd.Flags().Bool("role-passwords", false, "with --globals: give new roles their passwords of the backup")
	tablespaces := cmd.Flags().StringToString("tablespace-map", nil, "with --globals: make these tablespaces elsewhere, as name=folder")
	noTablespaces := cmd.Flags().Bool("no-tablespaces", false, "restore everything into the default tablespace")
	noOwner := cmd.Flags().Bool("no-owner", false, "leave everything to the role that restores")
	noPrivileges := cmd.Flags().Bool("no-privileges", false, "leave out grants")
	addFromCopy(cmd)
	cmd.RunE = p.verb(func(ctx context.Context, s *session, _ []string) error {
		names, err := parseNames(*only)
		if err != nil {
			return err
		}
		address, err := s.address()
		if err != nil {
			return err
		}
		identities, err := s.identities()
		if err != nil {
			return err
		}
		m, err := s.one(ctx, chosen)
		if err != nil {
			return err
		}
		into := m.Database
		if *to != "" {
			into = *to
		}
		restorer := restore.Restorer{
			Store: s.store,
			Target: &postgres.Target{
				Address: address, Folders: s.folders(), Major: m.Facts.Server.Major, ServerMonetaryLocale: m.Facts.MonetaryLocale == "",
				RolePasswords: *passwords, TablespaceMap: *tablespaces, NoTablespaces: *noTablespaces, NoOwner: *noOwner, NoPrivileges: *noPrivileges,
			},
			Log: s.log, Observer: s.recorder, Progress: &s.progress, Identities: identities, Streams: s.streams, Only: names, Globals: *globals,
			CheckFirst: s.verifies(),
		}
		warnings, err := restorer.Restore(ctx, m, into)
		for _, warning := range warnings {
			s.log.Warn("restore warned", "database", into, "warning", warning)
		}
		s.result.Warnings = warnings
		s.result.Databases = append(s.result.Databases, restored(ctx, m, into, *only, s.now().Sub(s.result.Started), err))
		if err != nil {
			return fmt.Errorf("restore %s of %s into %s: %w", m.ID, m.Database, into, err)
		}
		for _, left := range m.LeftOut() {
			fmt.Fprintln(s.stdout, left)
		}
		fmt.Fprintf(s.stdout, "%s of %s: restored into %s in %.1fs\n", m.ID, m.Database, into, s.now().Sub(s.result.Started).Seconds())
		return nil
	})
	return cmd
}

// parseNames reads the comma lists of --only.
func parseNames(lists []string) (names []restore.Name, err error) {
	for _, list := range lists {
		for _, text := range restore.SplitNames(list) {
			name, err := restore.ParseName(text)
			if err != nil {
				return nil, usageError("read --only: %w", err)
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// restored is what the report says of the database that was made. The manifest's
// rows are those of a whole restore.
func restored(ctx context.Context, m backup.Manifest, into string, only []string, took time.Duration, err error) backupapi.DatabaseResult {
	result := backupapi.DatabaseResult{Name: into, Backup: m.ID, Seconds: took.Seconds(), Category: backup.Category(ctx, err)}
	switch {
	case err != nil:
		result.Message = err.Error()
	case len(only) == 0:
		result.Rows = m.Content.Rows()
	}
	return result
}
