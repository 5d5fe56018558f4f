package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// snapshot is one exported snapshot, held by a transaction of its own.
type snapshot struct {
	source   *Source
	conn     *pgx.Conn
	database string
	name     string // as pg_export_snapshot calls it
	clients  Clients
	facts    backup.Facts
	tables   []backup.Table
}

// Open implements [backup.Source]. The lock is the session's, so a program that
// is killed gives it up with its connection.
func (s *Source) Open(ctx context.Context, database string) (backup.Snapshot, error) {
	conn, err := s.connect(ctx, database)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{source: s, conn: conn, database: database}
	for _, step := range []func(context.Context) error{snap.lock, snap.describe, snap.export, snap.lockTables, snap.listTables} {
		if err := step(ctx); err != nil {
			_ = snap.Close(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	return snap, nil
}

func (s *snapshot) lock(ctx context.Context) error {
	var got bool
	if err := s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, 0)", lockClass).Scan(&got); err != nil {
		return classify(err)
	}
	if !got {
		return backup.Fail(backupapi.CategoryLockHeld, fmt.Errorf("lock %s: %w", s.database, backup.ErrLocked))
	}
	return nil
}

func (s *snapshot) describe(ctx context.Context) error {
	server, properties, err := queryFacts(ctx, s.conn)
	if err != nil {
		return err
	}
	if s.clients, err = FindClients(ctx, s.source.Folders, "pg_dump", server.Major); err != nil {
		return err
	}
	if s.facts.Extensions, err = queryExtensions(ctx, s.conn); err != nil {
		return err
	}
	server.Client = s.clients.Version
	s.facts.Server, s.facts.Properties, s.facts.MonetaryLocale = server, properties, monetaryLocale
	return nil
}

// sqlASCII is the encoding of databases that convert and check nothing.
const sqlASCII = "SQL_ASCII"

// anyEncoding is an option of queries on a snapshot: pgx's simple protocol insists on
// client_encoding UTF8.
const anyEncoding = pgx.QueryExecModeExec

func (s *snapshot) export(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return classify(err)
	}
	if s.facts.Properties.Encoding == sqlASCII { // its names may be any bytes
		if _, err := s.conn.Exec(ctx, "SET LOCAL client_encoding = "+sqlASCII); err != nil {
			return classify(err)
		}
	}
	err := s.conn.QueryRow(ctx, "SELECT pg_export_snapshot(), now()", anyEncoding).Scan(&s.name, &s.facts.Taken)
	if err != nil {
		return fmt.Errorf("export the snapshot: %w", classify(err))
	}
	s.facts.Taken = s.facts.Taken.UTC()
	return nil
}

// listTables lists the tables whose data can be dumped apart: ordinary ones,
// partitions among them, that belong to no extension. pg_table_size waits for a
// table that is locked, so the wait is limited.
func (s *snapshot) listTables(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, "SET LOCAL lock_timeout = "+timeLimit(s.source.LockWait)); err != nil {
		return classify(err)
	}
	rows, err := s.conn.Query(ctx, `
SELECT n.nspname, c.relname, coalesce(pg_table_size(c.oid), 0)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
  AND c.relpersistence = 'p'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`, anyEncoding)
	if err != nil {
		return classify(err)
	}
	s.tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t backup.Table, err error) {
		return t, row.Scan(&t.Schema, &t.Name, &t.Bytes)
	})
	if err != nil {
		return fmt.Errorf("measure tables: %w", classify(err))
	}
	for _, t := range s.tables {
		s.facts.Estimate += t.Bytes
	}
	if s.facts.Properties.Encoding != "UTF8" {
		s.tables = slices.DeleteFunc(s.tables, hasNonASCIIName)
	}
	return nil
}

// hasNonASCIIName reports whether pg_dump, which takes its arguments in the encoding of
// the dump, would misread the table's name.
func hasNonASCIIName(t backup.Table) bool {
	return strings.ContainsFunc(t.Schema+t.Name, func(r rune) bool { return r > unicode.MaxASCII })
}

// Facts implements [backup.Snapshot].
func (s *snapshot) Facts() backup.Facts { return s.facts }

// Tables implements [backup.Snapshot].
func (s *snapshot) Tables() []backup.Table { return s.tables }

// Base implements [backup.Snapshot].
func (s *snapshot) Base(ctx context.Context, without []backup.Table) (backup.Dump, error) {
	var args []string
	for _, t := range without {
		args = append(args, "--exclude-table-data="+pattern(t))
	}
	if s.facts.Server.Standby { // it has no unlogged data
		args = append(args, "--no-unlogged-table-data")
	}
	return s.start(ctx, args...)
}

// Data implements [backup.Snapshot].
func (s *snapshot) Data(ctx context.Context, t backup.Table, more backup.Workers) (backup.Dump, error) {
	if cap(more) >= backup.RangeWorkers {
		rows, err := s.describeRows(ctx, t)
		if err != nil {
			return nil, err
		}
		if rows != nil {
			d, err := s.dumpRanges(ctx, t, rows, more)
			if !errors.Is(err, pgarchive.ErrVersion) { // an archive that is not known is pg_dump's alone
				return d, err
			}
		}
	}
	return s.start(ctx, "--section=data", "--strict-names", "--table="+pattern(t))
}

// Definitions implements [backup.Snapshot].
func (s *snapshot) Definitions(ctx context.Context) (backup.Dump, error) {
	return s.start(ctx, "--schema-only")
}

func (s *snapshot) start(ctx context.Context, args ...string) (backup.Dump, error) {
	args = append([]string{
		"--format=custom", "--compress=0", "--no-password", "--encoding=" + s.facts.Properties.Encoding,
		"--snapshot=" + s.name, "--lock-wait-timeout=" + timeLimit(s.source.LockWait),
	}, args...)
	d, err := startDump(command(ctx, s.clients.program("pg_dump"), s.source.Address.environment(s.database, s.facts.Server.Major), args...))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// CheckAlive implements [backup.Snapshot]. The age of a transaction is measured from
// the moment at which a session first asks for one: this is asked once, and last.
func (s *snapshot) CheckAlive(ctx context.Context) (held backup.Held, err error) {
	err = s.conn.QueryRow(ctx, `
SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8, coalesce(age(backend_xmin), 0)::int8, current_setting('autovacuum_freeze_max_age')::int8
FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()`, anyEncoding).Scan(&held.Seconds, &held.Transactions, &held.Limit)
	if err != nil {
		return held, classify(err)
	}
	return held, nil
}

// Close implements [backup.Snapshot]. It gives the lock up before it leaves: a
// session ends some time after its client has gone, and the next may come at once.
func (s *snapshot) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	_, err := s.conn.Exec(ctx, "ROLLBACK; SELECT pg_advisory_unlock_all()")
	return errors.Join(err, s.conn.Close(ctx))
}

// pattern writes a table's name so that pg_dump's pattern matches it alone:
// inside double quotes nothing has a meaning but the quote.
func pattern(t backup.Table) string {
	quote := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
	return quote(t.Schema) + "." + quote(t.Name)
}
