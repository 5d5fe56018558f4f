package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// shapes are tables whose rows or definitions are unlike others'.
var shapes = map[string][]string{
	"empty":              {`CREATE TABLE t (a int)`},
	"one row":            {`CREATE TABLE t (a int)`, `INSERT INTO t VALUES (1)`},
	"many rows":          {`CREATE TABLE t (a int, b text)`, `INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 40000) i`},
	"rows of a megabyte": {`CREATE TABLE t (a int, b text)`, `INSERT INTO t SELECT i, repeat(md5(i::text), 40000) FROM generate_series(1, 25) i`},
	"values with tabs, newlines and backslashes": {`CREATE TABLE t (a text)`, `INSERT INTO t SELECT E'a\tb\nc\\d\\.' FROM generate_series(1, 5000)`},
	"a row that looks like the end of data":      {`CREATE TABLE t (a text)`, `INSERT INTO t VALUES (E'\\.')`},
	"empty blocks in the middle and at the end": {
		`CREATE TABLE t (a int, b text) WITH (autovacuum_enabled = off)`,
		`INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 30000) i`, `DELETE FROM t WHERE a > 2000 AND a NOT BETWEEN 15000 AND 15010`,
	},
	"columns that are generated or were dropped": {`CREATE TABLE t (a int, gone int, b int GENERATED ALWAYS AS (a * 2) STORED, c text)`, `INSERT INTO t (a, c) SELECT i, 'x' FROM generate_series(1, 100) i`, `ALTER TABLE t DROP gone`},
	"names that need quotes":                     {`CREATE SCHEMA "user"`, `CREATE TABLE "user"."Order; (""x"", y" ("select" int, "a,b)" text, "é" int)`, `INSERT INTO "user"."Order; (""x"", y" SELECT i, 'v', i FROM generate_series(1, 100) i`},
	"children that inherit":                      {`CREATE TABLE t (a int)`, `CREATE TABLE child () INHERITS (t)`, `INSERT INTO t SELECT generate_series(1, 100)`, `INSERT INTO child SELECT generate_series(1, 50)`},
	"an identity":                                {`CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY, b text)`, `INSERT INTO t (b) SELECT 'x' FROM generate_series(1, 100)`},
	"row security that shows nothing":            {`CREATE TABLE t (a int)`, `ALTER TABLE t ENABLE ROW LEVEL SECURITY`, `ALTER TABLE t FORCE ROW LEVEL SECURITY`, `INSERT INTO t VALUES (1), (2)`},
	"no columns":                                 {`CREATE TABLE t ()`, `INSERT INTO t DEFAULT VALUES`},
	"partitions": {
		`CREATE TABLE p (a int, b text) PARTITION BY HASH (a)`, `CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0)`,
		`INSERT INTO p SELECT i, 'x' FROM generate_series(1, 100) i`,
	},
}

func TestSnapshot_Data_Ranges(t *testing.T) {
	pg := pgtest.SharedPostgres(t)
	source := newSource(t, pg)
	for name, statements := range shapes {
		t.Run("a table with "+name+" is the same as by pg_dump", func(t *testing.T) {
			database := pg.Database(t, statements...)
			snapshot := openSnapshot(t, source, database)
			pg.Exec(t, database, `DO $$ DECLARE r regclass; BEGIN FOR r IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace > 16383 OR relname IN ('t', 'p0', 'child') LOOP
				EXECUTE format('INSERT INTO %s SELECT * FROM %1$s LIMIT 10', r); EXECUTE format('DELETE FROM %s WHERE ctid = (SELECT ctid FROM %1$s LIMIT 1)', r); END LOOP;
				EXCEPTION WHEN generated_always THEN NULL; END $$`) // what the snapshot must not see
			for _, table := range snapshot.Tables() {
				want := read(t, snapshot, table, nil)
				for _, workers := range []int{3, 5} {
					got := read(t, snapshot, table, backup.NewWorkers(workers))
					if want, got := asSQL(t, pg, want), asSQL(t, pg, got); want != got {
						t.Errorf("%s with %d workers: %d bytes of SQL, pg_dump's are %d; got\n%.2000s\nwant\n%.2000s", table.Name, workers, len(got), len(want), got, want)
					}
				}
			}
		})
	}
}

func openSnapshot(t *testing.T, source backup.Source, database string) backup.Snapshot {
	t.Helper()
	snapshot, err := source.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = snapshot.Close(context.Background()) })
	return snapshot
}

func read(t *testing.T, snapshot backup.Snapshot, table backup.Table, workers backup.Workers) []byte {
	t.Helper()
	if workers != nil {
		workers.Acquire()
		defer func() {
			if workers.Release(1); len(workers) != 0 {
				t.Errorf("%d workers were not released", len(workers))
			}
		}()
	}
	d, err := snapshot.Data(t.Context(), table, workers)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(struct{ io.Reader }{d})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Warnings()) > 0 {
		t.Errorf("warnings: %q", d.Warnings())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	return content
}

// asSQL is what pg_restore reads in an archive, without the comments. SET and SELECT
// setval are in both archives.
func asSQL(t *testing.T, pg *pgtest.Postgres, archive []byte) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(pg.Folder, "pg_restore"), "--file=-")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(archive), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines, sequences []string
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "--"), strings.HasPrefix(line, `\restrict`), strings.HasPrefix(line, `\unrestrict`), line == "\n":
		case strings.HasPrefix(line, "SELECT pg_catalog.setval"):
			sequences = append(sequences, line)
		default:
			lines = append(lines, line)
		}
	}
	return strings.Join(append(lines, sequences...), "")
}

func TestSnapshot_Data_Ranges_Plan(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	pg.Exec(t, "postgres", "CREATE DATABASE d")
	pg.Exec(t, "d", shapes["many rows"]...)
	snapshot := openSnapshot(t, newSource(t, pg), "d")
	pg.Exec(t, "d", "SELECT pg_stat_reset()")
	read(t, snapshot, snapshot.Tables()[0], backup.NewWorkers(3))
	pgtest.Eventually(t, "the scans are counted", 20*time.Second, func() bool {
		return pg.Value(t, "d", "SELECT (heap_blks_read + heap_blks_hit > 0)::text FROM pg_statio_user_tables WHERE relname = 't'") == "true"
	})
	if got := pg.Value(t, "d", "SELECT ((heap_blks_read + heap_blks_hit) <= pg_relation_size('t') / 8192)::text FROM pg_statio_user_tables WHERE relname = 't'"); got != "true" {
		t.Errorf("each range read more than its blocks: %s", pg.Value(t, "d", "SELECT (heap_blks_read + heap_blks_hit)::text FROM pg_statio_user_tables WHERE relname = 't'"))
	}
}

func TestSnapshot_Data_Ranges_Failures(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	pg.Exec(t, "postgres", "CREATE DATABASE d")
	pg.Exec(t, "d", `CREATE TABLE t (a int, b text)`, `INSERT INTO t SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 100000) i`)
	source := newSource(t, pg)

	t.Run("a session that dies is an error, not a short archive", func(t *testing.T) {
		snapshot := openSnapshot(t, source, "d")
		d, err := snapshot.Data(t.Context(), snapshot.Tables()[0], backup.NewWorkers(3))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if _, err := io.CopyN(io.Discard, d, 1<<20); err != nil {
			t.Fatal(err)
		}
		pg.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT%' OR query LIKE 'SELECT set_config%'")
		if _, err = io.Copy(io.Discard, struct{ io.Reader }{d}); err == nil || !strings.Contains(err.Error(), "copy public.t: ") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a session more that cannot be opened is a warning", func(t *testing.T) {
		pg.Exec(t, "postgres", "DROP ROLE IF EXISTS narrow", "CREATE ROLE narrow LOGIN CONNECTION LIMIT 3 IN ROLE pg_read_all_data")
		narrow := newSource(t, pg)
		narrow.Address.User = "narrow"
		snapshot := openSnapshot(t, narrow, "d")
		d, err := snapshot.Data(t.Context(), snapshot.Tables()[0], backup.NewWorkers(3))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_, tally, err := pgarchive.Copy(io.Discard, d)
		if err != nil || tally.Tables["public.t"].Rows != 100000 {
			t.Errorf("%v; %+v", err, tally)
		}
		if got := strings.Join(d.Warnings(), "\n"); !strings.Contains(got, "public.t was copied by fewer sessions") {
			t.Errorf("warnings %q", got)
		}
	})

	t.Run("a dump that is closed early leaves no session", func(t *testing.T) {
		snapshot := openSnapshot(t, source, "d")
		workers := backup.NewWorkers(3)
		d, err := snapshot.Data(t.Context(), snapshot.Tables()[0], workers)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, d, 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil || len(workers) != 0 {
			t.Errorf("%v; %d workers are taken", err, len(workers))
		}
		pgtest.Eventually(t, "the sessions have ended", 20*time.Second, func() bool {
			return pg.Value(t, "postgres", "SELECT (count(*) = 0)::text FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT%'") == "true"
		})
	})

	t.Run("a dump that is never read leaves no session", func(t *testing.T) {
		snapshot := openSnapshot(t, source, "d")
		d, err := snapshot.Data(t.Context(), snapshot.Tables()[0], backup.NewWorkers(3))
		if err = errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSnapshot_Data_Ranges_Buffers(t *testing.T) {
	pg := pgtest.NewPostgres(t, "shared_buffers=32MB")
	if pg.Major >= 18 {
		return // there a scan of the whole table fills free buffers too
	}
	pg.Exec(t, "postgres", "CREATE DATABASE d")
	pg.Exec(t, "d", append(shapes["many rows"], "CREATE EXTENSION pg_buffercache", "CHECKPOINT")...)
	pg.Kill() // with an empty cache
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	snapshot := openSnapshot(t, newSource(t, pg), "d")
	read(t, snapshot, snapshot.Tables()[0], backup.NewWorkers(2))
	if got := pg.Value(t, "d", "SELECT (count(*) * 8192 < pg_relation_size('t') / 2)::text FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('t')"); got != "true" {
		t.Error("a dump with two workers displaces what is in the server's buffers")
	}
}
