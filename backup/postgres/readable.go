package postgres

import "context"

// Unreadable implements [backup.Snapshot]. It asks what pg_dump will need: SELECT
// on every table and sequence, USAGE on schemas, no row security that applies to
// the role, and SELECT on large objects.
func (s *snapshot) Unreadable(ctx context.Context) ([]string, error) {
	return collect(ctx, s.conn, `
SELECT problem FROM (
  SELECT format('%s %s: no SELECT', CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid::regclass) AS problem
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S', 'm', 'v') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
    AND NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END
  UNION ALL
  SELECT format('table %s: row security applies to this role (it needs BYPASSRLS)', c.oid::regclass)
  FROM pg_catalog.pg_class c
  WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND row_security_active(c.oid)
  UNION ALL
  SELECT format('schema %I: no USAGE', n.nspname)
  FROM pg_catalog.pg_namespace n
  WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%' AND NOT has_schema_privilege(n.oid, 'USAGE')
  UNION ALL
  SELECT format('%s large objects: no SELECT', count(*))
  FROM pg_catalog.pg_largeobject_metadata l
  WHERE NOT current_setting('is_superuser')::bool AND NOT current_setting('lo_compat_privileges')::bool
    AND NOT pg_has_role(l.lomowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a
      WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
  HAVING count(*) > 0
) AS problems ORDER BY problem`, anyEncoding)
}
