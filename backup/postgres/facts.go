package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/nova/novawire/backup"
)

// queryFacts reads the facts of a server and a database for the manifest. It runs outside
// a transaction, because a role may lack the right to read the system identifier.
func queryFacts(ctx context.Context, conn *pgx.Conn) (server backup.ServerFacts, p backup.Properties, err error) {
	var hasAccess bool
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, pg_is_in_recovery()").
		Scan(&server.Version, &server.Major, &server.Standby)
	if err != nil {
		return server, p, classify(err)
	}
	_ = conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&server.Identifier)
	err = conn.QueryRow(ctx, fmt.Sprintf(`
SELECT r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, %s,
  CASE WHEN t.spcname = 'pg_default' THEN '' ELSE t.spcname END, nullif(d.datconnlimit, -1), d.datistemplate,
  coalesce(shobj_description(d.oid, 'pg_database'), ''), d.datacl IS NOT NULL
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = current_database()`, localeColumns(server.Major))).
		Scan(&p.Owner, &p.Encoding, &p.Collate, &p.CType, &p.Provider, &p.Locale, &p.ICURules, &p.Tablespace, &p.ConnectionLimit, &p.IsTemplate, &p.Comment, &hasAccess)
	if err != nil {
		return server, p, classify(err)
	}
	if p.Comment == unfinishedComment {
		p.Comment = ""
	}
	if p.Config, err = queryConfig(ctx, conn); err != nil || !hasAccess {
		return server, p, err
	}
	access, err := queryAccess(ctx, conn)
	p.Access = &access
	return server, p, err
}

func queryConfig(ctx context.Context, conn *pgx.Conn) ([]backup.Config, error) {
	rows, err := conn.Query(ctx, `
SELECT CASE s.setrole WHEN 0 THEN '' ELSE pg_get_userbyid(s.setrole) END, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
FROM pg_catalog.pg_db_role_setting s
JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
CROSS JOIN unnest(s.setconfig) WITH ORDINALITY AS u (c, place)
ORDER BY s.setrole, u.place`)
	if err != nil {
		return nil, classify(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c backup.Config, err error) {
		return c, row.Scan(&c.Role, &c.Name, &c.Value)
	})
	if err != nil {
		return nil, fmt.Errorf("read the database's settings: %w", classify(err))
	}
	return all, nil
}

func queryAccess(ctx context.Context, conn *pgx.Conn) ([]backup.Access, error) {
	rows, err := conn.Query(ctx, `
SELECT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, pg_get_userbyid(a.grantor), a.privilege_type, a.is_grantable
FROM pg_catalog.pg_database d CROSS JOIN aclexplode(d.datacl) WITH ORDINALITY AS a (grantor, grantee, privilege_type, is_grantable, place)
WHERE d.datname = current_database() ORDER BY a.place`)
	if err != nil {
		return nil, classify(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a backup.Access, err error) {
		return a, row.Scan(&a.Grantee, &a.Grantor, &a.Privilege, &a.Grantable)
	})
	if err != nil {
		return nil, fmt.Errorf("read the database's privileges: %w", classify(err))
	}
	return all, nil
}

// localeColumns returns the columns of the locale's provider, its locale and its rules.
// Providers came with version 15, rules with 16; the column was renamed in 17.
func localeColumns(major int) string {
	locale, rules := "d.daticulocale", "d.daticurules"
	switch {
	case major < 15:
		return "'libc', '', ''"
	case major == 15:
		rules = "''"
	case major >= 17:
		locale = "d.datlocale"
	}
	return "CASE d.datlocprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END, coalesce(" + locale + ", ''), coalesce(" + rules + ", '')"
}
