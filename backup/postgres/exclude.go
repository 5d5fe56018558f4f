package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// MatchingDatabases implements [backup.Source].
func (s *Source) MatchingDatabases(ctx context.Context, pattern string) (names []string, err error) {
	conn, err := s.connect(ctx, s.Address.maintenance())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	names, err = collect(ctx, conn, "SELECT datname FROM pg_catalog.pg_database WHERE datname::text ~ $1 ORDER BY datname", patternRegex(pattern))
	return names, badPattern(pattern, err)
}

// MatchingTables implements [backup.Snapshot]. A partitioned table has no rows of its
// own and stands for its partitions.
func (s *snapshot) MatchingTables(ctx context.Context, pattern string) ([]backup.Table, error) {
	parts := backupapi.PatternParts(pattern)
	schema, name := "", parts[len(parts)-1]
	if len(parts) > 1 {
		schema = patternRegex(parts[0])
	}
	rows, err := s.conn.Query(ctx, `
WITH RECURSIVE matching AS (
  SELECT c.oid, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND c.relname::text ~ $1 AND ($2 = '' OR n.nspname::text ~ $2)
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  UNION
  SELECT c.oid, c.relkind FROM matching m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid AND m.relkind = 'p' JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
)
SELECT n.nspname, c.relname, coalesce(pg_table_size(c.oid), 0)
FROM matching m JOIN pg_catalog.pg_class c ON c.oid = m.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' ORDER BY 1, 2`, patternRegex(name), schema)
	if err != nil {
		return nil, badPattern(pattern, classify(err))
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t backup.Table, err error) {
		return t, row.Scan(&t.Schema, &t.Name, &t.Bytes)
	})
	if err != nil {
		return nil, badPattern(pattern, classify(err))
	}
	for _, t := range tables {
		if s.facts.Properties.Encoding != "UTF8" && hasNonASCIIName(t) {
			return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("leave out the data of %s: pg_dump cannot be given this name in a database of encoding %s", pattern, s.facts.Properties.Encoding))
		}
	}
	return tables, nil
}

// badPattern says that the server could not read a pattern.
func badPattern(pattern string, err error) error {
	if isCode(err, "2201B") { // invalid_regular_expression
		return backup.Fail(backupapi.CategoryUsage, fmt.Errorf("read the pattern %q: %s", pattern, err)) //nolint:errorlint // its category would win
	}
	return err
}

// ReferencesTo implements [backup.Snapshot].
func (s *snapshot) ReferencesTo(ctx context.Context, tables []backup.Table) ([]string, error) {
	names := make([]string, 0, len(tables))
	for _, t := range tables {
		names = append(names, pattern(t))
	}
	return collect(ctx, s.conn, `
WITH without AS (SELECT unnest($1::text[])::pg_catalog.regclass AS oid)
SELECT DISTINCT format('%I.%I refers to %s', n.nspname, c.relname, f.confrelid::pg_catalog.regclass)
FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE f.contype = 'f' AND c.relkind = 'r' AND f.confrelid IN (SELECT oid FROM without) AND f.conrelid NOT IN (SELECT oid FROM without)
ORDER BY 1`, names)
}
