package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// loader is a session that loads tables; see [backup.Loader].
type loader struct{ conn *pgx.Conn }

// restoreSession lists what pg_restore sets before it loads, in addition to the archive's
// own settings (_doSetFixedOutputState of pg_backup_archiver.c).
var restoreSession = []string{
	"SET xmloption = content", "SET client_min_messages = warning", "SET row_security = off",
}

// Load implements [backup.Target].
func (t *Target) Load(ctx context.Context, database string, settings []string) (backup.Loader, error) {
	conn, err := open(ctx, t.withSession(1, 0), database)
	if err != nil {
		return nil, err
	}
	for _, sql := range append(settings[:len(settings):len(settings)], restoreSession...) {
		if err := conn.PgConn().Exec(ctx, sql).Close(); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("prepare a session: %w", classify(err))
		}
	}
	return &loader{conn}, nil
}

// Copy implements [backup.Loader]. It loads a fresh table with COPY's FREEZE, which needs
// the table truncated in the same transaction. Frozen rows need no later pass that sets
// hint bits and writes the pages again, and under wal_level = minimal no WAL.
func (l *loader) Copy(ctx context.Context, e pgarchive.Entry, fresh bool, rows io.Reader) (n int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("load %s: %w", e.SQLName(), classify(err))
		}
	}()
	frozen, can := withFreeze(e.CopyStatement)
	if !fresh || !can {
		return l.copyFrom(ctx, e.CopyStatement, rows)
	}
	err = l.run(ctx, "BEGIN; TRUNCATE TABLE ONLY "+quoted(e.Schema)+"."+quoted(e.Name))
	// A role may be allowed to insert only, and TimescaleDB refuses TRUNCATE ONLY of a
	// hypertable. Rows that are not frozen are as good.
	if refused := new(pgconn.PgError); errors.As(err, &refused) {
		if err := l.run(ctx, "ROLLBACK"); err != nil {
			return 0, err
		}
		return l.copyFrom(ctx, e.CopyStatement, rows)
	}
	if err != nil {
		return 0, err
	}
	if n, err = l.copyFrom(ctx, frozen, rows); err != nil {
		return 0, err // the caller closes the session, which rolls back
	}
	return n, l.run(ctx, "COMMIT")
}

// withFreeze asks a COPY statement of pg_dump's to freeze.
func withFreeze(statement string) (string, bool) {
	head, whole := strings.CutSuffix(strings.TrimSpace(statement), "FROM stdin;")
	return head + "FROM stdin WITH (FREEZE)", whole
}

func (l *loader) copyFrom(ctx context.Context, statement string, rows io.Reader) (int64, error) {
	guarded := &guardedReader{from: rows}
	defer guarded.stop()
	tag, err := l.conn.PgConn().CopyFrom(ctx, guarded, statement)
	return tag.RowsAffected(), err
}

// guardedReader reads nothing more once it was stopped. CopyFrom reads in a goroutine
// that it leaves behind when the connection is lost or the context ends, and the caller
// closes the stream then.
type guardedReader struct {
	mu      sync.Mutex
	from    io.Reader
	stopped bool
}

func (r *guardedReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return 0, io.ErrClosedPipe
	}
	return r.from.Read(p)
}

// stop waits for the read that is under way.
func (r *guardedReader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

func (l *loader) run(ctx context.Context, sql string) error {
	return l.conn.PgConn().Exec(ctx, sql).Close()
}

// Close implements [backup.Loader].
func (l *loader) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	return l.conn.Close(ctx)
}
