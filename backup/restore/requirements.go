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
)

// checkRequirements refuses a restore that would end in the middle because the server
// lacks a role that owns something or a tablespace that something is stored in. It is
// asked before the database is made.
func (r *Restorer) checkRequirements(ctx context.Context, m backup.Manifest, entries []pgarchive.Entry, selected selection) error {
	var roles, tablespaces []string
	for _, e := range entries {
		if selected.IDs != nil && !slices.Contains(selected.IDs, e.ID) {
			continue
		}
		if e.Owner != "" {
			roles = append(roles, e.Owner)
		}
		if e.Tablespace != "" {
			tablespaces = append(tablespaces, e.Tablespace)
		}
	}
	if m.Facts.Properties.Tablespace != "" {
		tablespaces = append(tablespaces, m.Facts.Properties.Tablespace)
	}
	slices.Sort(roles)
	slices.Sort(tablespaces)
	missingRoles, missingTablespaces, err := r.Target.Missing(ctx, slices.Compact(roles), slices.Compact(tablespaces))
	if err != nil {
		return fmt.Errorf("look for roles and tablespaces: %w", err)
	}
	var missing []error
	if len(missingRoles) > 0 {
		missing = append(missing, fmt.Errorf("the server does not have the roles %s: create them, or restore with --globals or --no-owner", quotedList(missingRoles)))
	}
	if len(missingTablespaces) > 0 {
		missing = append(missing, fmt.Errorf("the server does not have the tablespaces %s: create them, or restore with --globals and --tablespace-map, or with --no-tablespaces", quotedList(missingTablespaces)))
	}
	return backup.Fail(backupapi.CategoryRefused, errors.Join(missing...))
}

func quotedList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = pgarchive.Quote(name)
	}
	return strings.Join(quoted, ", ")
}
