package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// withLogs has tables that somebody leaves out: by pattern, in another schema, with a
// name that needs quotes, partitioned, and large enough for a dump of its own.
var withLogs = append(grown("log_big", 80),
	"CREATE TABLE kept (id int PRIMARY KEY, what text)", "INSERT INTO kept SELECT i, 'k' FROM generate_series(1, 100) i",
	"CREATE TABLE log_small (id int)", "INSERT INTO log_small SELECT generate_series(1, 2000)",
	"CREATE SCHEMA app", `CREATE TABLE app."Trace.X" (id int)`, `INSERT INTO app."Trace.X" VALUES (1)`,
	"CREATE TABLE events (id int, at date) PARTITION BY RANGE (at)",
	"CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
	"INSERT INTO events VALUES (1, '2025-05-05')",
)

func TestRun_ExcludeTableData(t *testing.T) {
	b := newEnvironment(t).with("PARALLELISM", "3")
	source := b.pg.Database(t, withLogs...)
	b.must("run", "--databases", source) // the next one compares with it
	b = b.with("EXCLUDE_TABLE_DATA", `log_*,app."Trace.X",events,misspelt`)
	o := b.must("run", "--databases", source)
	if want := []string{`EXCLUDE_TABLE_DATA: "misspelt" matches no table`}; !slices.Equal(o.result.Warnings, want) {
		t.Errorf("warnings %q, want %q", o.result.Warnings, want)
	}
	if n := o.result.Databases[0].Anomalies; n != 0 {
		t.Errorf("%d anomalies: tables without data are compared", n)
	}
	want := []string{`app."Trace.X"`, "public.events_2025", "public.log_big", "public.log_small"}
	listed := b.backups()
	if diff := cmp.Diff(want, listed[0].WithoutData); diff != "" || listed[0].Rows != 100 || len(listed[1].WithoutData) > 0 {
		t.Errorf("%d rows are listed %s", listed[0].Rows, diff)
	}
	if o := b.must("list"); !strings.Contains(o.stdout, `without the data of 4 tables (app."Trace.X", public.events_2025, public.log_big, …)`) {
		t.Errorf("list says\n%s", o.stdout)
	}
	if o := b.must("verify", "--deep"); !strings.Contains(o.stdout, "4 tables come back without data") {
		t.Errorf("verify says\n%s", o.stdout)
	}
	o = b.must("restore", "--database", source, "--to", source+"_back")
	if !strings.Contains(o.stdout, "public.log_big") || len(o.result.Warnings) != 1 || !strings.Contains(o.result.Warnings[0], "4 tables come back without data") {
		t.Errorf("restore says %q\n%s", o.result.Warnings, o.stdout)
	}
	counts := b.pg.Value(t, source+"_back", `SELECT (SELECT count(*) FROM kept) || ' ' || (SELECT count(*) FROM log_big) || ' ' || (SELECT count(*) FROM log_small) || ' ' || (SELECT count(*) FROM app."Trace.X") || ' ' || (SELECT count(*) FROM events)`)
	if counts != "100 0 0 0 0" {
		t.Errorf("restored rows: %s", counts)
	}
	b.must("drill")
	b.must("check", "--database", source, "--to", source+"_back")
	b.pg.Exec(t, source+"_back", "INSERT INTO log_small VALUES (1)")
	if o := b.fails(backupapi.CategoryVerify, "check", "--database", source, "--to", source+"_back"); !strings.Contains(o.stderr, "public.log_small: not in the backup") {
		t.Error(o.stderr)
	}
	b.pg.Exec(t, "postgres", "DROP DATABASE "+source+"_back")
}

// A foreign key to rows that are not there is told when they are left out, and not first
// by the drill.
func TestRun_ExcludeTableData_ForeignKey(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, "CREATE TABLE users (id int PRIMARY KEY)", "INSERT INTO users VALUES (1)", "CREATE TABLE orders (id int, who int REFERENCES users)", "INSERT INTO orders VALUES (1, 1)")
	o := b.with("EXCLUDE_TABLE_DATA", "users").must("run", "--databases", source)
	if !strings.Contains(o.stderr, "public.orders refers to public.users, whose data is left out") {
		t.Errorf("no warning in\n%s", o.stderr)
	}
}

func TestRun_ExcludeDatabases(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg)
	pg.Exec(t, "postgres", "CREATE DATABASE shop", "CREATE DATABASE test_a", `CREATE DATABASE "Test_B"`)
	names := func(o outcome) (names []string) {
		for _, d := range o.result.Databases {
			names = append(names, d.Name)
		}
		return names
	}
	o := b.with("EXCLUDE_DATABASES", "test_*,postgres,nothing").must("run")
	if diff := cmp.Diff([]string{"Test_B", "shop"}, names(o)); diff != "" {
		t.Errorf("backed up %s", diff)
	}
	if want := []string{`EXCLUDE_DATABASES: "nothing" matches no database that is backed up`}; !slices.Equal(o.result.Warnings, want) {
		t.Errorf("warnings %q, want %q", o.result.Warnings, want)
	}
	if o := b.must("list"); !strings.Contains(o.stdout, "not backed up: database test_a, by EXCLUDE_DATABASES") || !strings.Contains(o.stdout, "not backed up: database postgres") {
		t.Errorf("list says\n%s", o.stdout)
	}
	for want, env := range map[string][]string{
		"leaves none to back up":     {"EXCLUDE_DATABASES", "*"},
		`read the pattern "a["`:      {"EXCLUDE_DATABASES", "a["},
		`read the pattern "public.(`: {"EXCLUDE_TABLE_DATA", "public.(", "DATABASES", "shop"},
	} {
		if o := b.with(env...).fails(backupapi.CategoryUsage, "run"); !strings.Contains(o.stderr, strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%q: %s", env, o.stderr)
		}
	}
}
