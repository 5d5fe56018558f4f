package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/nova/novawire/backup"
)

// queryFacts reads what a manifest tells of a server and a database. It runs
// outside a transaction: a role may not be allowed to ask for the identifier.
func queryFacts(ctx context.Context, conn *pgx.Conn) (server backup.ServerFacts, p backup.Properties, err error) {
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, pg_is_in_recovery()").
		Scan(&server.Version, &server.Major, &server.Standby)
	if err != nil {
		return server, p, classify(err)
	}
	_ = conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&server.Identifier)
	err = conn.QueryRow(ctx, fmt.Sprintf(`
SELECT r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, %s
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba
WHERE d.datname = current_database()`, localeColumns(server.Major))).
		Scan(&p.Owner, &p.Encoding, &p.Collate, &p.CType, &p.Provider, &p.Locale)
	if err != nil {
		return server, p, classify(err)
	}
	p.Settings, err = collect(ctx, conn, settingsQuery)
	return server, p, err
}

// localeColumns: providers came with 15, the column was renamed in 17.
func localeColumns(major int) string {
	locale := "d.daticulocale"
	switch {
	case major < 15:
		return "'libc', ''"
	case major >= 17:
		locale = "d.datlocale"
	}
	return "CASE d.datlocprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END, coalesce(" + locale + ", '')"
}

// settingsQuery writes a database's own settings and grants as SQL. The settings
// that hold lists are stored quoted as SQL wants them; the names are those that
// the server marks GUC_LIST_QUOTE.
const settingsQuery = `
WITH settings AS (
  SELECT s.setrole, split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value
  FROM pg_catalog.pg_db_role_setting s
  JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
  CROSS JOIN unnest(s.setconfig) AS c
), grants AS (
  SELECT a.grantee, a.privilege_type, a.is_grantable
  FROM pg_catalog.pg_database d CROSS JOIN aclexplode(d.datacl) AS a
  WHERE d.datname = current_database()
)
SELECT line FROM (
  SELECT 1 AS place, format('ALTER %s SET %I TO %s',
    CASE setrole WHEN 0 THEN 'DATABASE :"database"' ELSE format('ROLE %I IN DATABASE :"database"', pg_get_userbyid(setrole)) END,
    name,
    CASE WHEN name IN ('local_preload_libraries', 'search_path', 'session_preload_libraries', 'temp_tablespaces')
      THEN coalesce(nullif(value, ''), '''''') ELSE quote_literal(value) END) AS line
  FROM settings
  UNION ALL
  SELECT 2, 'REVOKE ALL ON DATABASE :"database" FROM PUBLIC' WHERE EXISTS (SELECT FROM grants)
  UNION ALL
  SELECT 3, format('GRANT %s ON DATABASE :"database" TO %s%s', privilege_type,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM grants
) AS lines ORDER BY place, line`
