package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/backup/sqltext"
)

// checkRequirements refuses a restore that would end in the middle because the server
// lacks an extension, a role that owns something or is granted something, or a tablespace
// that something is stored in. It is called before the database is created.
func (r *Restorer) checkRequirements(ctx context.Context, m backup.Manifest, entries []pgarchive.Entry, selected selection) error {
	var owners, grantees, tablespaces, extensions []string
	for _, e := range entries {
		if selected.IDs != nil && !slices.Contains(selected.IDs, e.ID) {
			continue
		}
		if e.Owner != "" {
			owners = append(owners, e.Owner)
		}
		grantees = append(grantees, granteesOf(e)...)
		if e.Tablespace != "" {
			tablespaces = append(tablespaces, e.Tablespace)
		}
		if e.Kind == "EXTENSION" {
			extensions = append(extensions, e.Name)
		}
	}
	if m.Facts.Properties.Tablespace != "" {
		tablespaces = append(tablespaces, m.Facts.Properties.Tablespace)
	}
	lacks, err := r.Target.Missing(ctx, backup.Requirements{Owners: distinct(owners), Grantees: distinct(grantees), Tablespaces: distinct(tablespaces), Extensions: distinct(extensions)})
	if err != nil {
		return fmt.Errorf("look for roles, tablespaces and extensions: %w", err)
	}
	var missing []error
	if len(lacks.Owners) > 0 {
		missing = append(missing, fmt.Errorf("the server does not have the roles %s: create them, or restore with --globals or --no-owner", quotedList(lacks.Owners)))
	}
	if len(lacks.Grantees) > 0 {
		missing = append(missing, fmt.Errorf("the server does not have the roles %s, which the backup grants privileges to: create them, or restore with --globals or --no-privileges", quotedList(lacks.Grantees)))
	}
	if len(lacks.Tablespaces) > 0 {
		missing = append(missing, fmt.Errorf("the server does not have the tablespaces %s: create them, or restore with --globals and --tablespace-map, or with --no-tablespaces", quotedList(lacks.Tablespaces)))
	}
	if len(lacks.Extensions) > 0 {
		missing = append(missing, fmt.Errorf("the server does not have the extensions %s: install them, or restore single tables with --only", quotedList(lacks.Extensions)))
	}
	return backup.Fail(backupapi.CategoryRefused, errors.Join(missing...))
}

// granteesOf returns the roles that an entry with grants names. A text that is not
// understood names none: the restore itself then reports what is missing.
func granteesOf(e pgarchive.Entry) (roles []string) {
	if e.Kind != "ACL" && e.Kind != "DEFAULT ACL" {
		return nil
	}
	statements, err := sqltext.Split(e.Definition)
	if err != nil {
		return nil
	}
	for _, s := range statements {
		for i := 1; i < len(s); i++ {
			if namesRole(s[:i]) && s[i].IsName() && !s[i].Is("PUBLIC") {
				roles = append(roles, s[i].Name())
			}
		}
	}
	return roles
}

// namesRole reports whether a role follows: TO or FROM, FOR ROLE, SESSION AUTHORIZATION.
// Names that are reserved words are quoted, so that they are no keywords here.
func namesRole(before sqltext.Statement) bool {
	last := len(before) - 1
	pair := func(first, second string) bool {
		return last > 0 && before[last-1].Is(first) && before[last].Is(second)
	}
	return before[last].Is("TO") || before[last].Is("FROM") || pair("FOR", "ROLE") || pair("SESSION", "AUTHORIZATION")
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func quotedList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = pgarchive.Quote(name)
	}
	return strings.Join(quoted, ", ")
}
