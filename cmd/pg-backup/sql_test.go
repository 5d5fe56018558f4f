package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nova/novawire/internal/testing/pgtest"
)

// sortedDump is a database as sorted SQL, without what names the moment.
func sortedDump(t *testing.T, pg *pgtest.Postgres, database string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(pg.Folder, "pg_dump"), "-h", "127.0.0.1", "-p", pg.Port, "-U", pgtest.Superuser, "-d", database)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump %s: %v", database, err)
	}
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if strings.HasPrefix(line, "--") || strings.HasPrefix(line, `\restrict`) || strings.HasPrefix(line, `\unrestrict`) {
			continue
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// plainCopy restores a plain pg_dump into a new database: what a restore of ours
// must equal. (It may differ from the source: PostgreSQL orders the columns of
// inheriting tables anew.)
func plainCopy(t *testing.T, pg *pgtest.Postgres, source string) string {
	t.Helper()
	copied := source + "_plain"
	pg.Exec(t, "postgres", "CREATE DATABASE "+copied+" TEMPLATE template0")
	login := fmt.Sprintf("-h 127.0.0.1 -p %s -U %s", pg.Port, pgtest.Superuser)
	script := fmt.Sprintf("set -o pipefail; %[1]s/pg_dump %[2]s -Fc -d %[3]s | %[1]s/pg_restore %[2]s --exit-on-error -d %[4]s", pg.Folder, login, source, copied)
	if out, err := exec.Command("bash", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("plain copy: %v: %s", err, out)
	}
	return copied
}

// social is a small database of the kind that Nova keeps.
var social = []string{
	`CREATE SCHEMA auth`,
	`CREATE TABLE auth.users (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, created timestamptz NOT NULL DEFAULT now())`,
	`CREATE TABLE posts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, author bigint REFERENCES auth.users, body jsonb, score int GENERATED ALWAYS AS (1 + 1) STORED)`,
	`CREATE INDEX posts_body ON posts USING gin (body)`,
	`CREATE VIEW recent AS SELECT * FROM posts ORDER BY id DESC LIMIT 10`,
	`CREATE MATERIALIZED VIEW counts AS SELECT author, count(*) AS posts FROM posts GROUP BY author`,
	`CREATE FUNCTION shout(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(t) $$`,
	`INSERT INTO auth.users (email) SELECT 'user' || i || '@example.org' FROM generate_series(1, 500) i`,
	`INSERT INTO posts (author, body) SELECT 1 + i % 500, jsonb_build_object('n', i, 'text', repeat('nova ', i % 20)) FROM generate_series(1, 3000) i`,
	`REFRESH MATERIALIZED VIEW counts`,
	`SELECT lo_from_bytea(0, 'a large object'::bytea)`,
}

// nasty has names and shapes that trip quoting and counting.
var nasty = []string{
	`CREATE SCHEMA "Sch.ema ""x"""`,
	`CREATE TABLE "Sch.ema ""x"""."Ta.ble $1" ("Col,umn" int, "par(en" text, "quo""te" text)`,
	`INSERT INTO "Sch.ema ""x"""."Ta.ble $1" SELECT i, E'tab\there\nline\\', NULL FROM generate_series(1, 100) i`,
	`CREATE TABLE no_columns ()`,
	`INSERT INTO no_columns DEFAULT VALUES`,
	`CREATE TABLE no_rows (a int, b text)`,
	`CREATE TABLE parted (k int, v text) PARTITION BY LIST (k)`,
	`CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)`,
	`CREATE TABLE parted_rest PARTITION OF parted DEFAULT`,
	`INSERT INTO parted SELECT i % 3, 'v' || i FROM generate_series(1, 90) i`,
	`CREATE TABLE parent (a int, b text)`,
	`CREATE TABLE child (c int, a int) `,
	`ALTER TABLE child ADD COLUMN b text`,
	`ALTER TABLE child INHERIT parent`,
	`INSERT INTO child VALUES (3, 1, 'inherits')`,
	`CREATE UNLOGGED TABLE unlogged (a int)`,
	`INSERT INTO unlogged VALUES (1)`,
	`CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%')`,
	`CREATE TABLE one (id int PRIMARY KEY, other int, mail email)`,
	`CREATE TABLE two (id int PRIMARY KEY, other int REFERENCES one)`,
	`ALTER TABLE one ADD FOREIGN KEY (other) REFERENCES two DEFERRABLE INITIALLY DEFERRED`,
	`BEGIN; INSERT INTO one VALUES (1, 1, 'a@b'); INSERT INTO two VALUES (1, 1); COMMIT`,
	`CREATE TABLE secured (id int, owner text)`,
	`ALTER TABLE secured ENABLE ROW LEVEL SECURITY`,
	`ALTER TABLE secured FORCE ROW LEVEL SECURITY`,
	`CREATE POLICY own ON secured USING (owner = current_user)`,
	`INSERT INTO secured VALUES (1, 'someone')`,
	`CREATE TABLE big_value (b bytea)`,
	`INSERT INTO big_value SELECT decode(repeat('00ff10', 3000000), 'hex')`,
	`CREATE MATERIALIZED VIEW m1 AS SELECT count(*) AS n FROM parted`,
	`CREATE MATERIALIZED VIEW m2 AS SELECT n + 1 AS n FROM m1`,
	`CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS x WITH NO DATA`,
	`CREATE PUBLICATION everything FOR ALL TABLES`,
	`CREATE SEQUENCE "Se""q" START 42`,
	`SELECT nextval('"Se""q"')`,
}

// odd has the shapes of nasty with as many rows as it takes to load them frozen.
var odd = []string{
	`CREATE FUNCTION long(t text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT length(t) > 10 $$`,
	`CREATE TABLE "user" ("order" int, "group" text CHECK (public.long("group")))`, // words that SQL wants quoted
	`INSERT INTO "user" SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i`,
	`CREATE TABLE identified (id int GENERATED ALWAYS AS IDENTITY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, pad text DEFAULT repeat('p', 100))`,
	`INSERT INTO identified (a) SELECT i FROM generate_series(1, 3000) i`,
	`CREATE TABLE ranges (k int, v text) PARTITION BY RANGE (k)`,
	`CREATE TABLE ranges_low PARTITION OF ranges FOR VALUES FROM (0) TO (2000)`,
	`CREATE TABLE ranges_high PARTITION OF ranges DEFAULT`,
	`CREATE INDEX ON ranges (v)`,
	`INSERT INTO ranges SELECT i, repeat('v', 100) || i FROM generate_series(1, 4000) i`,
	`CREATE TABLE base (a int, b text)`,
	`CREATE TABLE heir (c int) INHERITS (base)`,
	`INSERT INTO base SELECT i, repeat('b', 100) FROM generate_series(1, 2000) i`,
	`INSERT INTO heir SELECT i, repeat('h', 100), i FROM generate_series(1, 2000) i`,
	`CREATE TABLE guarded (id int, owner text)`,
	`INSERT INTO guarded SELECT i, repeat('o', 100) FROM generate_series(1, 2000) i`,
	`ALTER TABLE guarded ENABLE ROW LEVEL SECURITY`,
	`ALTER TABLE guarded FORCE ROW LEVEL SECURITY`,
	`CREATE POLICY own ON guarded USING (owner = current_user)`,
	`CREATE TABLE head (id int PRIMARY KEY, next int, pad text DEFAULT repeat('p', 100))`,
	`INSERT INTO head SELECT i, i % 2000 + 1 FROM generate_series(1, 2000) i`,
	`ALTER TABLE head ADD FOREIGN KEY (next) REFERENCES head DEFERRABLE INITIALLY DEFERRED`,
	`CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`,
	`CREATE TRIGGER never BEFORE INSERT ON head FOR EACH ROW EXECUTE FUNCTION never()`,
	`CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no changes'; END $$`,
	`CREATE UNLOGGED TABLE volatile (a int, pad text DEFAULT repeat('p', 100))`,
	`INSERT INTO volatile SELECT i FROM generate_series(1, 2000) i`,
	`CREATE TABLE one_text (t text)`, // whose empty rows look like the end of the data
	`INSERT INTO one_text SELECT CASE WHEN i % 3 = 0 THEN '' WHEN i % 3 = 1 THEN '\.' ELSE repeat(E'\\', 200) END FROM generate_series(1, 3000) i`,
	`CREATE TABLE long_rows (id int, body text)`,
	`INSERT INTO long_rows SELECT i, repeat(md5(i::text), 100000) FROM generate_series(1, 20) i`,
	`CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM ranges`,
	`CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()`,
}

// grown makes a table of about so many megabytes of text.
func grown(name string, megabytes int) []string {
	return []string{
		fmt.Sprintf(`CREATE TABLE %s (id bigint PRIMARY KEY, body text)`, name),
		fmt.Sprintf(`INSERT INTO %s SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, %d) i`, name, megabytes*1000),
	}
}
