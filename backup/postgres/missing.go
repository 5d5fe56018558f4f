package postgres

import "context"

// Missing implements [backup.Target].
func (t *Target) Missing(ctx context.Context, roles, tablespaces []string) (missingRoles, missingTablespaces []string, err error) {
	conn, err := open(ctx, t.Address, t.Address.maintenance())
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if !t.NoOwner {
		missingRoles, err = collect(ctx, conn, "SELECT name FROM unnest($1::text[]) AS wanted (name) WHERE name NOT IN (SELECT rolname FROM pg_catalog.pg_roles) ORDER BY name", roles)
	}
	if err == nil && !t.NoTablespaces {
		missingTablespaces, err = collect(ctx, conn, "SELECT name FROM unnest($1::text[]) AS wanted (name) WHERE name NOT IN (SELECT spcname FROM pg_catalog.pg_tablespace) ORDER BY name", tablespaces)
	}
	return missingRoles, missingTablespaces, err
}
