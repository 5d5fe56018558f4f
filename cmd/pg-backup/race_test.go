package main

import (
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/pgtest"
)

// TestRun_TableChangesDuringTheSnapshot holds a change of a table back until the run has
// its snapshot and waits for its lock, then commits it.
func TestRun_TableChangesDuringTheSnapshot(t *testing.T) {
	fill := "INSERT INTO t SELECT i, 'row' FROM generate_series(1, 7) i"
	for name, change := range map[string]string{
		"truncated and filled again": "TRUNCATE t; " + fill,
		"dropped and created":        "DROP TABLE t; CREATE TABLE t (a int, b text); " + fill,
		"a type changed":             "ALTER TABLE t ALTER a TYPE bigint",
		"a column added with values": "ALTER TABLE t ADD c float8 DEFAULT random()",
		"a column dropped":           "ALTER TABLE t DROP b",
		"a column renamed":           "ALTER TABLE t RENAME b TO other",
		"a partition truncated":      "TRUNCATE p1; INSERT INTO p SELECT 1, 'again' FROM generate_series(1, 5)",
		"a partition detached":       "ALTER TABLE p DETACH PARTITION p1; DROP TABLE p1; CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); INSERT INTO p SELECT 1, 'new' FROM generate_series(1, 5)",
		"set to unlogged and back":   "ALTER TABLE t SET UNLOGGED",
		"swapped with another":       "CREATE TABLE n (LIKE t); INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t",
		"moved to another schema":    "CREATE SCHEMA other; ALTER TABLE t SET SCHEMA other",
	} {
		t.Run(name, func(t *testing.T) {
			b := newEnvironment(t)
			database := b.pg.Database(t, "CREATE TABLE t (a int, b text)", "INSERT INTO t SELECT i, 'old' FROM generate_series(1, 3) i",
				"CREATE TABLE p (k int, v text) PARTITION BY LIST (k)", "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)", "INSERT INTO p VALUES (1, 'x')")
			conn := b.pg.Connect(t, database)
			if _, err := conn.Exec(t.Context(), "BEGIN; "+change); err != nil {
				t.Fatal(err)
			}
			done := make(chan outcome)
			go func() { done <- b.run("run", "--databases", database) }()
			watch := b.pg.Connect(t, "postgres")
			pgtest.Eventually(t, "the run waits for a lock", 20*time.Second, func() bool {
				var waiting bool
				err := watch.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND a.datname = $1)", database).Scan(&waiting)
				return err == nil && waiting
			})
			if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
				t.Fatal(err)
			}
			if o := <-done; o.code != 0 {
				t.Fatalf("exit %d\n%s", o.code, o.stderr)
			}
			b.must("restore", "--database", database, "--to", database+"_back")
			defer b.pg.Exec(t, "postgres", "DROP DATABASE "+database+"_back")
			b.same(database, database+"_back")
		})
	}
}
