package main

import (
	"testing"

	"github.com/nova/novawire/internal/testing/pgtest"
)

// Some extensions cannot be created unless the server has loaded their library at its
// start: their databases could be backed up and never drilled.
func TestDrill_PreloadedExtensions(t *testing.T) {
	pg := pgtest.NewPostgres(t, "shared_preload_libraries=pg_cron,pgaudit", "cron.database_name=jobs", "cron.host=/nonexistent")
	b := environmentOn(t, pg)
	pg.Exec(t, "postgres", "CREATE DATABASE jobs")
	pg.Exec(t, "jobs", "CREATE EXTENSION pg_cron", "CREATE EXTENSION pgaudit", "CREATE TABLE ran (at timestamptz)",
		"SELECT cron.schedule('* * * * *', 'INSERT INTO ran VALUES (now())')")
	b.must("run", "--databases", "jobs")
	b.must("drill")
	b.must("restore", "--database", "jobs", "--to", "plain", "--only", "public.ran")
}
