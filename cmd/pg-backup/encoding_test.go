package main

import (
	"fmt"
	"strings"
	"testing"
)

// Databases of other encodings, with bytes that are not UTF-8 in values and names.
func TestRestore_Encodings(t *testing.T) {
	b := newEnvironment(t).with("PARALLELISM", "3")
	for encoding, c := range map[string]struct {
		bytes string
		rows  int // of a table that is dumped by ranges, if it is large
	}{"LATIN1": {`\xe9`, 120_000}, "SQL_ASCII": {`\xfffec3`, 120_000}, "WIN1252": {`\x80`, 100}} {
		t.Run(encoding, func(t *testing.T) {
			source := "enc_" + strings.ToLower(encoding)
			b.pg.Exec(t, "postgres", fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C'", source, encoding))
			defer b.pg.Exec(t, "postgres", "DROP DATABASE "+source)
			value := "convert_from('" + c.bytes + "'::bytea, '" + encoding + "')"
			b.pg.Exec(t, source, "SET client_encoding = 'SQL_ASCII'",
				"CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT i, "+value+" || i FROM generate_series(1, 100) i",
				"CREATE TABLE big (id int, v text)", "INSERT INTO big SELECT i, "+value+" || repeat(md5(i::text), 20) FROM generate_series(1, "+fmt.Sprint(c.rows)+") i",
				"CREATE INDEX ON big (v)",
				"DO $$ BEGIN EXECUTE format('CREATE TABLE %I (%I text)', 'n' || "+value+", 'c' || "+value+"); END $$",
				"DO $$ BEGIN EXECUTE format('INSERT INTO %I VALUES (''x'')', 'n' || "+value+"); END $$",
				"COMMENT ON TABLE t IS 'plain'")
			b.must("run", "--dry-run", "--databases", source)
			b.must("run", "--databases", source)
			b.must("restore", "--database", source, "--to", source+"_back")
			defer b.pg.Exec(t, "postgres", "DROP DATABASE "+source+"_back")
			b.same(source, source+"_back")
			b.must("check", "--database", source, "--to", source+"_back")
			b.must("verify", "--deep", "--database", source)
			b.must("drill", "--database", source)
			if got := b.pg.Value(t, "postgres", "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = '"+source+"_back'"); got != encoding {
				t.Errorf("restored as %s", got)
			}
		})
	}
}
