package main

import (
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestRun_DryRun(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg)
	pg.Exec(t, "postgres", "CREATE ROLE few LOGIN CONNECTION LIMIT 2 PASSWORD 'hunter2' IN ROLE pg_read_all_data", "CREATE DATABASE d",
		"CREATE DATABASE closed ALLOW_CONNECTIONS false", "CREATE DATABASE pattern IS_TEMPLATE true")
	limited := b.with("DATABASE_URL", pg.URLAs("few", "hunter2", "d"))
	// A session that was closed counts towards the limit until its process has ended.
	sessionsEnded := func(t *testing.T) {
		t.Helper()
		pgtest.Eventually(t, "the sessions of the role end", time.Minute, func() bool {
			return pg.Value(t, "postgres", "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'few'") == "0"
		})
	}
	t.Run("counts the connections that a role may have", func(t *testing.T) {
		o := limited.fails(backupapi.CategorySource, "run", "--dry-run")
		if !strings.Contains(o.result.Message, "connections") {
			t.Errorf("message: %s", o.result.Message)
		}
		pg.Exec(t, "postgres", "ALTER ROLE few CONNECTION LIMIT 3")
		sessionsEnded(t)
		limited.must("run", "--dry-run")
		sessionsEnded(t)
		limited.must("run")
	})
	t.Run("prints the connection without the password", func(t *testing.T) {
		sessionsEnded(t)
		o := limited.must("run", "--dry-run")
		if !strings.Contains(o.stdout, "user=few") || strings.Contains(o.stdout+o.stderr, "hunter2") {
			t.Errorf("got %s", o.stdout)
		}
	})
	t.Run("names databases that are left out", func(t *testing.T) {
		o := b.run("run", "--dry-run")
		for _, name := range []string{"closed: it allows no connections", "pattern: it is a template"} {
			if !strings.Contains(o.stderr, name) {
				t.Errorf("no word of %s in %s", name, o.stderr)
			}
		}
	})
}
