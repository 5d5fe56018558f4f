package postgres

import "context"

// Connections implements [backup.Snapshot]. Superusers are exempt from the limits of
// roles and databases.
func (s *snapshot) Connections(ctx context.Context) (int, error) {
	var left int
	err := s.conn.QueryRow(ctx, `
SELECT greatest(0, least(
  CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit - count(*) FILTER (WHERE a.usename = current_user) END,
  CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit - count(*) FILTER (WHERE a.datname = current_database()) END,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - count(*)))::int
FROM pg_catalog.pg_stat_activity a
CROSS JOIN (SELECT * FROM pg_catalog.pg_roles WHERE rolname = current_user) AS r
CROSS JOIN (SELECT * FROM pg_catalog.pg_database WHERE datname = current_database()) AS d
WHERE a.backend_type = 'client backend'
GROUP BY r.rolconnlimit, r.rolsuper, d.datconnlimit`, anyEncoding).Scan(&left)
	if err != nil {
		return 0, classify(err)
	}
	return left, nil
}
