package postgres

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// lastRead ends the context in its second read, and returns from it only after the
// connection was given up and another session has had an answer.
type lastRead struct {
	end    context.CancelFunc
	lost   <-chan struct{}
	other  *pgx.Conn
	reads  int
	ended  atomic.Bool
	closed atomic.Bool // set by the test, as a caller closes its stream
	after  atomic.Bool // a read began after that
}

func (r *lastRead) Read(p []byte) (int, error) {
	r.after.Store(r.closed.Load())
	r.reads++
	if r.reads == 2 {
		r.end()
		<-r.lost
		if _, err := r.other.Exec(context.Background(), "SELECT 1"); err != nil {
			return 0, err
		}
		r.ended.Store(true)
	}
	return copy(p, "1\n"), nil
}

// A caller closes its stream when Copy has returned: a read that went on crashed the
// program in the decoder, when the deadline had passed or the server was gone.
func TestLoader_Copy_EndsItsReads(t *testing.T) {
	pg := pgtest.SharedPostgres(t)
	l := &loader{pg.Connect(t, "postgres")}
	if err := l.run(t.Context(), "CREATE TEMPORARY TABLE numbers (n int)"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rows := &lastRead{end: cancel, lost: l.conn.PgConn().CleanupDone(), other: pg.Connect(t, "postgres")}
	_, err := l.Copy(ctx, pgarchive.Entry{Name: "numbers", CopyStatement: "COPY numbers FROM stdin;"}, false, rows)
	ended := rows.ended.Load()
	rows.closed.Store(true)
	if err == nil || !ended {
		t.Errorf("Copy returned with %v while a read was under way", err)
	}
	if rows.after.Load() {
		t.Error("a read began after Copy had returned")
	}
}
