package main

import (
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// A table's rows come by several sessions where slots are free: each writes with
// a transaction of its own, the first one frozen.
func TestRestore_ParallelCopy(t *testing.T) {
	b := newEnvironment(t).with("PARALLELISM", "3")
	source := b.pg.Database(t, grown("big", 150)...)
	b.must("run", "--databases", source)
	transactions := func(target string) string {
		b.must("restore", "--database", source, "--to", target)
		b.same(source, target)
		defer b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
		b.pg.Exec(t, target, "CREATE EXTENSION pg_visibility")
		if frozen := b.pg.Value(t, target, "SELECT (all_frozen > 0)::text FROM pg_visibility_map_summary('big')"); frozen != "true" {
			t.Error("nothing was loaded frozen")
		}
		return b.pg.Value(t, target, "SELECT count(DISTINCT xmin::text)::text FROM big")
	}
	if got := transactions(source + "_three"); got != "4" {
		t.Errorf("%s transactions wrote the table, want 4: one alone, then three", got)
	}
	b = b.with("PARALLELISM", "1")
	if got := transactions(source + "_one"); got != "1" {
		t.Errorf("%s transactions wrote the table at one stream at a time, want 1", got)
	}
}

func TestRestore_ParallelCopy_SessionDies(t *testing.T) {
	b := newEnvironment(t).with("PARALLELISM", "3")
	source := b.pg.Database(t, grown("big", 150)...)
	b.must("run", "--databases", source)
	target := source + "_half"
	ended := make(chan outcome, 1)
	go func() { ended <- b.run("restore", "--database", source, "--to", target) }()
	pgtest.Eventually(t, "two sessions load one table", 30*time.Second, func() bool {
		return b.pg.Value(t, "postgres", "SELECT (count(*) > 1)::text FROM pg_stat_activity WHERE datname = '"+target+"' AND query LIKE 'COPY public.big%'") == "true"
	})
	b.pg.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+target+"' AND query LIKE 'COPY public.big%' ORDER BY backend_start DESC LIMIT 1")
	o := <-ended
	b.failed(o, backupapi.CategorySource)
	if !strings.Contains(o.result.Message, "public.big") {
		t.Errorf("message: %s", o.result.Message)
	}
	if got := commentOn(t, b, target); !strings.Contains(got, "not whole") {
		t.Errorf("what is left looks whole, its comment is %q", got)
	}
	b.fails(backupapi.CategoryRefused, "restore", "--database", source, "--to", target)
	b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
}

func commentOn(t *testing.T, b *environment, database string) string {
	t.Helper()
	return b.pg.Value(t, "postgres", "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = '"+database+"'")
}

func TestRestore_RowCount(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	b.must("run", "--databases", source)
	key := "nova/" + source + "/" + b.backups()[0].Backup + "/manifest.json"
	m := b.manifest(key)
	users := m.Content.Tables["auth.users"]
	users.Rows++
	m.Content.Tables["auth.users"] = users
	b.putManifest(key, m)
	o := b.fails(backupapi.CategoryVerify, "restore", "--database", source, "--to", source+"_less")
	if !strings.Contains(o.result.Message, "load auth.users: 500 rows arrived, the manifest says 501") {
		t.Errorf("message: %s", o.result.Message)
	}
	b.pg.Exec(t, "postgres", "DROP DATABASE "+source+"_less")
}

// To load a table frozen it is truncated, which a role may not be allowed to.
func TestRestore_InsertPrivilege(t *testing.T) {
	b := newEnvironment(t)
	b.pg.Exec(t, "postgres", `DO $$ BEGIN CREATE ROLE modest LOGIN CREATEDB; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
	source := b.pg.Database(t, append(grown("big", 1), "ALTER TABLE big OWNER TO modest", "REVOKE TRUNCATE ON big FROM modest")...)
	b.pg.Exec(t, "postgres", "ALTER DATABASE "+source+" OWNER TO modest")
	b.must("run", "--databases", source)
	target := source + "_modest"
	b.with("DATABASE_URL", b.pg.URLAs("modest", "", "postgres")).must("restore", "--database", source, "--to", target)
	b.same(source, target)
	if got := commentOn(t, b, target); got != "" {
		t.Errorf("a whole database is commented on: %q", got)
	}
	b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
}

// Where a hash depends on the database, as an enum's does, rows may belong to
// another partition after a restore. From PostgreSQL 16 on, pg_dump has them go
// through the root; before, it cannot restore them itself.
func TestRestore_PartitionRoot(t *testing.T) {
	b := newEnvironment(t).with("PARALLELISM", "3")
	if b.pg.Major < 16 {
		return
	}
	source := b.pg.Database(t,
		// Its values have other OIDs in whatever is restored.
		`DO $$ BEGIN FOR i IN 1..7 LOOP EXECUTE 'CREATE TYPE passing AS ENUM (''x'', ''y'')'; EXECUTE 'DROP TYPE passing'; END LOOP; END $$`,
		`CREATE TYPE mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h')`,
		`CREATE TABLE moods (mood mood NOT NULL, id bigint, body text) PARTITION BY HASH (mood)`,
		`CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0)`,
		`CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
		`INSERT INTO moods SELECT (enum_range(NULL::mood))[1 + i % 8], i, repeat(md5(i::text), 30) FROM generate_series(1, 180000) i`,
	)
	b.must("run", "--databases", source)
	target := source + "_back"
	b.must("restore", "--database", source, "--to", target)
	for _, sum := range []string{"count(*)::text", "sum(hashtext(mood::text || id || body)::bigint)::text"} {
		if was, is := b.pg.Value(t, source, "SELECT "+sum+" FROM moods"), b.pg.Value(t, target, "SELECT "+sum+" FROM moods"); was != is {
			t.Errorf("%s was %s and is %s", sum, was, is)
		}
	}
	b.must("drill")
	b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
}
