package postgres

import (
	"context"

	"github.com/nova/novawire/backup"
)

// Missing implements [backup.Target].
func (t *Target) Missing(ctx context.Context, required backup.Requirements) (missing backup.Requirements, err error) {
	conn, err := open(ctx, t.Address, t.Address.maintenance())
	if err != nil {
		return missing, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, check := range []struct {
		skip    bool
		names   []string
		query   string
		missing *[]string
	}{
		{t.NoOwner, required.Owners, "SELECT rolname FROM pg_catalog.pg_roles", &missing.Owners},
		{t.NoPrivileges, required.Grantees, "SELECT rolname FROM pg_catalog.pg_roles", &missing.Grantees},
		{false, required.Extensions, "SELECT name FROM pg_catalog.pg_available_extensions", &missing.Extensions},
		{t.NoTablespaces, required.Tablespaces, "SELECT spcname FROM pg_catalog.pg_tablespace", &missing.Tablespaces},
	} {
		if check.skip {
			continue
		}
		*check.missing, err = collect(ctx, conn, "SELECT name FROM unnest($1::text[]) AS wanted (name) WHERE name NOT IN ("+check.query+") ORDER BY name", check.names)
		if err != nil {
			return missing, err
		}
	}
	return missing, nil
}
