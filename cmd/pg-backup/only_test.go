package main

import (
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
)

// connected has objects that are not whole without others.
var connected = []string{
	`CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'touched'; RETURN NEW; END $$`,
	`CREATE TABLE parted (k int, note text) PARTITION BY LIST (k)`,
	`CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)`,
	`CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) PARTITION BY LIST (note)`,
	`CREATE TABLE parted_2_rest PARTITION OF parted_2 DEFAULT`,
	`CREATE INDEX ON parted (k)`,
	`INSERT INTO parted SELECT 1 + i % 2, 'n' || i FROM generate_series(1, 40) i`,
	`CREATE TABLE source (a int PRIMARY KEY, note text)`,
	`INSERT INTO source SELECT i, 'x' FROM generate_series(1, 20) i`,
	`CREATE TRIGGER touching BEFORE INSERT ON source FOR EACH ROW EXECUTE FUNCTION touch()`,
	`CREATE MATERIALIZED VIEW matview AS SELECT count(*) AS n FROM source`,
	`CREATE MATERIALIZED VIEW second AS SELECT n FROM matview`,
	`CREATE TABLE child (a int REFERENCES source, s serial, i int GENERATED ALWAYS AS IDENTITY)`,
	`INSERT INTO child (a) SELECT i FROM generate_series(1, 5) i`,
	`CREATE TABLE base (a int)`,
	`CREATE TABLE heir (b int) INHERITS (base)`,
	`CREATE TABLE grandheir () INHERITS (heir)`,
	`INSERT INTO base VALUES (1)`,
	`INSERT INTO grandheir SELECT i, i FROM generate_series(1, 7) i`,
	`CREATE SCHEMA _timescaledb_internal`, // a hypertable has the form of this
	`CREATE TABLE hypertable (a int)`,
	`CREATE TABLE _timescaledb_internal._hyper_1_1_chunk (CHECK (a > 0)) INHERITS (hypertable)`,
	`CREATE SCHEMA "Odd ""one"`,
	`CREATE TABLE "Odd ""one"."a.b,c $x" (a int)`,
	`INSERT INTO "Odd ""one"."a.b,c $x" VALUES (1), (2)`,
	`CREATE TABLE "Odd ""one".plain (a int)`,
	`INSERT INTO "Odd ""one".plain VALUES (1)`,
	`CREATE POLICY own ON source USING (note = current_user)`,
}

func TestRestore_Only(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, connected...)
	b.must("run", "--databases", source)
	target := source + "_part"
	for name, c := range map[string]struct {
		only    []string
		rows    string // a query of the restored database
		want    string
		warning string
	}{
		"a partitioned table comes with its partitions": {[]string{"public.parted"}, `SELECT count(*) || ' ' || count(DISTINCT tableoid) FROM parted`, "40 2", ""},
		"a partitioned table has its index":             {[]string{"public.parted"}, `SELECT count(*)::text FROM pg_index`, "", ""},
		"a partition alone is a table":                  {[]string{"public.parted_1"}, `SELECT count(*)::text FROM parted_1`, "20", ""},
		"a table comes with the tables that inherit":    {[]string{"public.base"}, `SELECT count(*) || ' ' || count(DISTINCT tableoid) FROM base`, "8 2", ""},
		"a table that inherits comes with its parent":   {[]string{"public.heir"}, `SELECT (SELECT count(*) FROM heir) || ' ' || (SELECT count(*) FROM ONLY base)`, "7 1", ""},
		"a materialized view comes with its source":     {[]string{"public.second"}, `SELECT (SELECT n FROM second) || ' ' || (SELECT count(*) FROM source)`, "20 20", ""},
		"a trigger comes with its function":             {[]string{"public.source"}, `SELECT string_agg(tgname || ' ' || tgfoid::regproc, ',') FROM pg_trigger WHERE NOT tgisinternal`, "touching touch", ""},
		"a policy comes with its table":                 {[]string{"public.source"}, `SELECT string_agg(polname, ',') FROM pg_policy`, "own", ""},
		"a foreign key to what is not restored is told": {[]string{"public.child"}, `SELECT count(*) || ' ' || count(DISTINCT s) || ' ' || (SELECT count(*) FROM pg_constraint WHERE contype = 'f') FROM child`, "5 5 0", "FK CONSTRAINT"},
		"a foreign key within what is restored is kept": {[]string{"public.child,public.source"}, `SELECT count(*)::text FROM pg_constraint WHERE contype = 'f'`, "1", ""},
		"a name in quotes, with a comma":                {[]string{`"Odd ""one"."a.b,c $x"`}, `SELECT count(*)::text FROM "Odd ""one"."a.b,c $x"`, "2", ""},
		"a schema in quotes":                            {[]string{`"Odd ""one"`}, `SELECT count(*)::text FROM "Odd ""one".plain`, "1", ""},
		"names without quotes are folded":               {[]string{"PUBLIC.Source", "public.parted_1"}, `SELECT count(*)::text FROM source`, "20", ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"restore", "--database", source, "--to", target}
			for _, only := range c.only {
				args = append(args, "--only", only)
			}
			o := b.must(args...)
			defer b.pg.Exec(t, "postgres", "DROP DATABASE "+target)
			conn := b.pg.Connect(t, target)
			var got string
			if err := conn.QueryRow(t.Context(), c.rows).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if c.want != "" && got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if c.warning != "" && !strings.Contains(strings.Join(o.result.Warnings, "\n"), c.warning) {
				t.Errorf("warnings: %v", o.result.Warnings)
			}
			conn.Close(t.Context())
		})
	}
	for name, only := range map[string]string{
		"no such table": "public.nothing", "one of two is missing": "public.source,public.nothing", "three parts": "a.b.c",
		"an open quote": `"public`, "no name": "", "an upper-case name without quotes": "Odd",
		"a hypertable": "public.hypertable",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			b.fails(backupapi.CategoryUsage, "restore", "--database", source, "--to", target, "--only", only)
		})
	}
}
