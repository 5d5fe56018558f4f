package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// Source is a server to dump from; see [backup.Source].
type Source struct {
	Address  Address
	Folders  []string      // where to look for clients
	LockWait time.Duration // how long to wait for a locked table
}

// lockClass is the first half of our advisory locks: "nova" in ASCII.
const lockClass = 0x6e6f7661

// Databases implements [backup.Source].
func (s *Source) Databases(ctx context.Context) (names, leftOut []string, err error) {
	conn, err := s.connect(ctx, s.Address.maintenance())
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	names, err = collect(ctx, conn, "SELECT datname FROM pg_catalog.pg_database WHERE "+backedUp+" ORDER BY datname")
	if err == nil {
		leftOut, err = collect(ctx, conn, `
SELECT format('%I: %s', datname, CASE WHEN datistemplate THEN 'it is a template' WHEN datallowconn THEN 'it belongs to the provider' ELSE 'it allows no connections' END)
FROM pg_catalog.pg_database WHERE NOT (`+backedUp+`) AND datname NOT IN ('template0', 'template1') ORDER BY datname`)
	}
	return names, leftOut, err
}

// backedUp selects the databases that are found. Those of Amazon, Google and Azure are for
// their own agents, which alone may connect.
const backedUp = "datallowconn AND NOT datistemplate AND datname NOT IN ('rdsadmin', 'cloudsqladmin', 'azure_maintenance')"

// Globals implements [backup.Source]. Only a superuser may read passwords: for
// any other role they are left out.
func (s *Source) Globals(ctx context.Context) (backup.Dump, error) {
	conn, err := s.connect(ctx, s.Address.maintenance())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var major int
	var superuser bool
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int / 10000, current_setting('is_superuser')::bool").Scan(&major, &superuser)
	if err != nil {
		return nil, classify(err)
	}
	clients, err := FindClients(ctx, s.Folders, "pg_dumpall", major)
	if err != nil {
		return nil, err
	}
	args := []string{"--globals-only", "--no-password"}
	if !superuser {
		args = append(args, "--no-role-passwords")
	}
	if name := s.Address.maintenance(); !strings.Contains(name, "=") { // else it would be read as parameters
		args = append(args, "--database="+name)
	}
	d, err := startDump(command(ctx, clients.program("pg_dumpall"), s.Address.environment(s.Address.maintenance(), major), args...))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// connect logs in and makes sure that it speaks to PostgreSQL itself.
func (s *Source) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	conn, err := open(ctx, s.Address, database)
	if err != nil {
		return nil, err
	}
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		_ = conn.Close(ctx)
		return nil, classify(err)
	}
	if pid != conn.PgConn().PID() { // a pooler answers with a process id of its own
		_ = conn.Close(ctx)
		return nil, backup.Fail(backupapi.CategorySource, errPooler)
	}
	return conn, nil
}

var errPooler = errors.New("connect: this is a connection pooler such as PgBouncer, which cannot hold a snapshot: use the address of PostgreSQL itself")

// open connects with the pinned settings.
func open(ctx context.Context, address Address, database string) (*pgx.Conn, error) {
	conn, err := connectPinned(ctx, address, database, assumedMajor)
	if isCode(err, "42704") { // undefined_object: an older server does not know them all
		conn, err = connectPinned(ctx, address, database, 0)
	}
	return conn, err
}

// connectPinned connects with the pinned settings of a major version, and sets those of
// newer versions once it knows that the server has them.
func connectPinned(ctx context.Context, address Address, database string, major int) (*pgx.Conn, error) {
	config, err := address.config(database, major)
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryUsage, err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, classify(err)
	}
	version := conn.PgConn().ParameterStatus("server_version")
	for _, s := range newerThan(major, version) {
		if _, err := conn.Exec(ctx, "SET "+s.name+" = "+literal(s.value)); err != nil {
			_ = conn.Close(ctx)
			return nil, classify(err)
		}
	}
	return conn, nil
}

func isCode(err error, code string) bool {
	var known *pgconn.PgError
	return errors.As(err, &known) && known.Code == code
}

// classify gives a server's error its category. pgx's own text of a failed
// connection names host, user and database, and never the password.
func classify(err error) error {
	var known *pgconn.PgError
	if !errors.As(err, &known) {
		return backup.Fail(backupapi.CategorySource, err)
	}
	switch {
	case known.Code == "3D000": // invalid_catalog_name
		return backup.Fail(backupapi.CategorySource, errors.Join(err, backup.ErrNoDatabase))
	case known.Code == "55P03": // lock_not_available
		return backup.Fail(backupapi.CategoryLockHeld, errors.Join(err, backup.ErrConflict))
	case strings.Contains(known.Message, recoveryConflict):
		return conflictWithRecovery(err)
	case known.Code == "40001": // serialization_failure: how a standby reports most conflicts, in any language
		return backup.Fail(backupapi.CategorySource, errors.Join(err, backup.ErrConflict))
	case known.Code == "42501", strings.HasPrefix(known.Code, "28"): // insufficient_privilege, invalid_authorization
		return backup.Fail(backupapi.CategoryPermission, err)
	case known.Code == "08P01" && strings.Contains(known.Message, "startup parameter"):
		return backup.Fail(backupapi.CategorySource, errPooler)
	}
	return backup.Fail(backupapi.CategorySource, err)
}

// recoveryConflict is in what a standby says to whom it cancels: "canceling
// statement", or "terminating connection", "due to conflict with recovery".
const recoveryConflict = "conflict with recovery"

// conflictWithRecovery says in one line what to do about it.
func conflictWithRecovery(err error) error {
	return backup.Fail(backupapi.CategorySource, fmt.Errorf("hold a snapshot on a standby: raise its max_standby_streaming_delay, or turn its hot_standby_feedback on: %w", conflict{err}))
}

// conflict is an error that is [backup.ErrConflict] too, without a line for it.
type conflict struct{ error }

func (c conflict) Unwrap() []error { return []error{c.error, backup.ErrConflict} }

func collect(ctx context.Context, conn *pgx.Conn, query string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, classify(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, classify(err)
	}
	return values, nil
}

// timeLimit writes a duration as PostgreSQL's settings take it.
func timeLimit(d time.Duration) string { return fmt.Sprintf("%d", max(1, d.Milliseconds())) }
