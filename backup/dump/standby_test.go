package dump_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/report"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// late does something while snapshots are held, when all dumps are through.
type late struct {
	backup.Source
	do func()
}

func (l late) Open(ctx context.Context, database string) (backup.Snapshot, error) {
	snapshot, err := l.Source.Open(ctx, database)
	return lateSnapshot{snapshot, l.do}, err
}

type lateSnapshot struct {
	backup.Snapshot
	do func()
}

func (l lateSnapshot) CheckAlive(ctx context.Context) (backup.Held, error) {
	l.do()
	return l.Snapshot.CheckAlive(ctx)
}

// pair is a server with something in it, and a standby that has followed it.
func pair(t *testing.T, settings ...string) (primary, standby *pgtest.Postgres) {
	t.Helper()
	primary = pgtest.NewPostgres(t)
	primary.Exec(t, "postgres", "CREATE DATABASE shop")
	primary.Exec(t, "shop", "CREATE TABLE orders (id serial PRIMARY KEY, what text)", "INSERT INTO orders (what) SELECT 'book ' || i FROM generate_series(1, 5000) i",
		"CREATE UNLOGGED TABLE visits (at timestamptz)", "INSERT INTO visits VALUES (now())", "SELECT lo_from_bytea(0, 'a picture')")
	standby = primary.Standby(t, settings...)
	follow(t, primary, standby)
	return primary, standby
}

func follow(t *testing.T, primary, standby *pgtest.Postgres) {
	t.Helper()
	primary.Exec(t, "postgres", "SELECT pg_logical_emit_message(true, 'test', '')") // its commit flushes what VACUUM has logged
	at := primary.Value(t, "postgres", "SELECT pg_current_wal_flush_lsn()::text")
	pgtest.Eventually(t, "the standby has followed", 20*time.Second, func() bool {
		return standby.Value(t, "postgres", "SELECT (pg_last_wal_replay_lsn() >= '"+at+"')::text") == "true"
	})
}

func TestRun_Standby(t *testing.T) {
	primary, standby := pair(t)
	r := newRunner(t, newSource(t, standby), pgtest.SharedS3(t).Endpoint)
	r.Databases = []string{"shop"}
	results, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.ReadManifest(t.Context(), r.Store, "shop", results[0].Backup)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Facts.Server.Standby || m.Content.Tables["public.orders"].Rows != 5000 {
		t.Errorf("standby: %t, content: %+v", m.Facts.Server.Standby, m.Content.Tables)
	}
	restoreOurs(t, primary, r, m)
	primary.Exec(t, "shop", "TRUNCATE visits") // a standby has no rows of unlogged tables
	if found := lineDifferences(dumpLines(t, primary, "shop"), dumpLines(t, primary, "ours")); len(found) > 0 {
		t.Errorf("the restore differs from the primary:\n%s", strings.Join(found, "\n"))
	}
}

// vacuum removes rows that a snapshot on the standby still sees.
func vacuum(t *testing.T, primary *pgtest.Postgres) {
	t.Helper()
	primary.Exec(t, "shop", "DELETE FROM orders WHERE id = (SELECT min(id) FROM orders)", "VACUUM orders")
}

func TestRun_Standby_RecoveryConflict(t *testing.T) {
	primary, standby := pair(t, "max_standby_streaming_delay=0")
	tries := 0
	source := late{newSource(t, standby), func() {
		tries++
		vacuum(t, primary)
		follow(t, primary, standby)
	}}
	r := newRunner(t, source, pgtest.SharedS3(t).Endpoint)
	r.Databases = []string{"shop"}
	results, err := r.Run(t.Context())
	if backup.Category(t.Context(), err) != backupapi.CategorySource || !errors.Is(err, backup.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	if tries != 2 {
		t.Errorf("tried %d times, want 2", tries)
	}
	message := results[0].Message
	for _, advice := range []string{"max_standby_streaming_delay", "hot_standby_feedback"} {
		if !strings.Contains(message, advice) || strings.Contains(message, "\n") {
			t.Errorf("no line that names %s: %q", advice, message)
		}
	}
	if catalog, err := backup.ReadCatalog(t.Context(), r.Store, "shop"); err != nil || len(catalog.Committed("shop")) > 0 {
		t.Errorf("%v; backups: %v", err, catalog.Committed("shop"))
	}
}

func TestRun_Standby_Advice(t *testing.T) {
	primary, standby := pair(t, "max_standby_streaming_delay=-1")
	r := newRunner(t, late{newSource(t, standby), func() { vacuum(t, primary) }}, pgtest.SharedS3(t).Endpoint)
	r.Databases = []string{"shop"}
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRun_VacuumHeldBack(t *testing.T) {
	pg := pgtest.NewPostgres(t, "autovacuum_freeze_max_age=100000")
	pg.Exec(t, "postgres", "CREATE DATABASE busy")
	const transactions = 10_500                      // a tenth of the limit, and some
	pg.Exec(t, "busy", "CREATE TABLE marks (n int)") // every exception block that writes has a transaction id of its own
	busy := `DO $$ BEGIN FOR i IN 1..10500 LOOP BEGIN INSERT INTO marks VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$`
	for name, c := range map[string]struct {
		do   func()
		warn bool
	}{"quiet": {func() {}, false}, "busy": {func() { pg.Exec(t, "busy", busy) }, true}} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t, late{newSource(t, pg), c.do}, pgtest.SharedS3(t).Endpoint)
			r.Databases = []string{"busy"}
			results, err := r.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m, err := backup.ReadManifest(t.Context(), r.Store, "busy", results[0].Backup)
			if err != nil {
				t.Fatal(err)
			}
			if warned := strings.Contains(strings.Join(m.Warnings, "\n"), "held vacuum back"); warned != c.warn {
				t.Errorf("warnings: %q", m.Warnings)
			}
			if got := m.Held; (got.Transactions >= transactions) != c.warn || got.Seconds <= 0 || got.Limit != 100_000 {
				t.Errorf("held: %+v", got)
			}
			if results[0].HeldTransactions != m.Held.Transactions || results[0].HeldSeconds != m.Held.Seconds {
				t.Errorf("result: %+v, manifest: %+v", results[0], m.Held)
			}
			measured := map[string]float64{}
			for _, one := range report.Measure(backupapi.Result{Verb: "run", Databases: results}, time.Now()) {
				measured[one.Name] = one.Value
			}
			if measured[report.MeasureHeldAge] != float64(m.Held.Transactions) || measured[report.MeasureHeld] != m.Held.Seconds {
				t.Errorf("measured: %v", measured)
			}
		})
	}
}
