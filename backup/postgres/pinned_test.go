package postgres_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// values has a column of every type whose text depends on a setting.
var values = []string{
	`CREATE TABLE t (id int PRIMARY KEY, at timestamptz, day date, span interval, price money, bytes bytea, x xml, f float8, names text[], note text)`,
	`INSERT INTO t SELECT i, '2026-03-04 05:06:07.89+02', '2026-03-04', '1 year -2 days 3 hours', 1234.5, '\x00ff5c', '<a>é</a>', 1.0/3, ARRAY['a', NULL, 'NULL'], E'it''s a \\ "é"' FROM generate_series(1, 50) i`,
	`CREATE VIEW v AS SELECT at, x FROM t WHERE note = 'a\b'`,
	`CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'a\b'::text $$`,
	`CREATE SEQUENCE s START 7`,
}

// dump takes a backup's dump and returns what it contains.
func dump(ctx context.Context, source *postgres.Source, database string) (pgarchive.Tally, error) {
	snapshot, err := source.Open(ctx, database)
	if err != nil {
		return pgarchive.Tally{}, err
	}
	defer func() { _ = snapshot.Close(ctx) }()
	d, err := snapshot.Base(ctx, nil)
	if err != nil {
		return pgarchive.Tally{}, err
	}
	defer d.Close()
	_, tally, err := pgarchive.Copy(io.Discard, d)
	if err != nil {
		return tally, err
	}
	delete(tally.Objects, "DATABASE PROPERTIES") // the settings themselves
	for _, table := range snapshot.Tables() {
		if err := countByRanges(ctx, snapshot, table, tally); err != nil {
			return tally, err
		}
	}
	return tally, nil
}

// countByRanges compares a table's rows, dumped by ranges, with those of pg_dump.
func countByRanges(ctx context.Context, snapshot backup.Snapshot, table backup.Table, by pgarchive.Tally) error {
	d, err := snapshot.Data(ctx, table, backup.NewWorkers(3))
	if err != nil {
		return err
	}
	defer d.Close()
	_, tally, err := pgarchive.Copy(io.Discard, d)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(by.Tables[pgarchive.SQLName(table.Schema, table.Name)], tally.Tables[pgarchive.SQLName(table.Schema, table.Name)]); diff != "" {
		return fmt.Errorf("%s by ranges (-pg_dump +ranges):\n%s", table.Name, diff)
	}
	return nil
}

func newSource(t *testing.T, pg *pgtest.Postgres) *postgres.Source {
	t.Helper()
	address, err := postgres.ParseAddress(pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	return &postgres.Source{Address: address, Folders: []string{pg.Folder}, LockWait: time.Second}
}

// extremes returns statements that set a parameter to values other than its default.
func extremes(t *testing.T, conn *pgx.Conn, database string) map[string][]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT name, vartype, coalesce(boot_val, ''), coalesce(min_val, ''), coalesce(max_val, ''), coalesce(enumvals, '{}') FROM pg_settings WHERE context = 'user' ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	text := map[string][]string{
		"client_encoding": {"LATIN1", "SQL_ASCII"}, "DateStyle": {"SQL, DMY", "German"}, "TimeZone": {"Asia/Kolkata"}, "lc_monetary": {"C.UTF-8"},
		"search_path": {"", "public, pg_catalog"}, "local_preload_libraries": {"no_such_library"}, "default_tablespace": {""},
		"role": {"pg_monitor"}, "default_table_access_method": {"heap"}, "timezone_abbreviations": {"India"}, "default_text_search_config": {"german"},
	}
	all := map[string][]string{}
	for rows.Next() {
		var name, kind, boot, least, most string
		var enum []string
		if err := rows.Scan(&name, &kind, &boot, &least, &most, &enum); err != nil {
			t.Fatal(err)
		}
		candidates := text[name]
		switch kind {
		case "bool":
			candidates = []string{map[string]string{"on": "off", "off": "on"}[boot]}
		case "integer", "real":
			candidates = []string{least, most}
			if strings.HasSuffix(name, "_timeout") {
				candidates = []string{"1"}
			}
		case "enum":
			candidates = enum
		}
		for _, value := range candidates {
			if strings.HasPrefix(name, "transaction_") || name == "session_authorization" || name == "seed" {
				continue // of one transaction
			}
			literal := "'" + strings.ReplaceAll(value, "'", "''") + "'"
			all[name] = append(all[name], fmt.Sprintf("ALTER DATABASE %s SET %q TO %s", database, name, literal))
		}
	}
	return all
}

func TestSource_Open(t *testing.T) {
	pg := pgtest.SharedPostgres(t)
	source := newSource(t, pg)

	t.Run("no setting that a role, a database or a server may have changes a dump", func(t *testing.T) {
		database := pg.Database(t, values...)
		want, err := dump(t.Context(), source, database)
		if err != nil {
			t.Fatal(err)
		}
		conn := pg.Connect(t, "postgres")
		set := func(statement string) {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Logf("%s: %v", statement, err) // this server does not take it
			}
		}
		check := func(t *testing.T) bool {
			got, err := dump(t.Context(), source, database)
			if err != nil {
				t.Logf("dump: %v", err)
				return false
			}
			diff := cmp.Diff(want, got)
			if diff != "" {
				t.Logf("(-want +got):\n%s", diff)
			}
			return diff == ""
		}
		settings := extremes(t, conn, database)
		if len(settings) < 80 {
			t.Fatalf("only %d settings", len(settings))
		}
		rounds := 0
		for _, statements := range settings {
			rounds = max(rounds, len(statements))
		}
		for round := range rounds {
			for _, statements := range settings {
				set(statements[min(round, len(statements)-1)])
			}
			t.Run("round "+strconv.Itoa(round), func(t *testing.T) {
				if check(t) {
					return
				}
				t.Fail()
				for name, statements := range settings { // which one?
					set("ALTER DATABASE " + database + " RESET ALL")
					set(statements[min(round, len(statements)-1)])
					if !check(t) {
						t.Errorf("%s: %s", name, statements[min(round, len(statements)-1)])
					}
				}
			})
			set("ALTER DATABASE " + database + " RESET ALL")
		}
	})

	for _, encoding := range []string{"LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252", "KOI8R"} {
		t.Run("databases of encoding "+encoding, func(t *testing.T) {
			database := "enc_" + strings.ToLower(encoding)
			pg.Exec(t, "postgres", fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C'", database, encoding))
			t.Cleanup(func() { pg.Exec(t, "postgres", "DROP DATABASE "+database) })
			pg.Exec(t, database, "SET client_encoding = 'SQL_ASCII'", "CREATE TABLE t (a text)", "INSERT INTO t SELECT 'row ' || i FROM generate_series(1, 10) i")
			tally, err := dump(t.Context(), source, database)
			if err != nil {
				t.Fatal(err)
			}
			if tally.Tables["public.t"].Rows != 10 {
				t.Errorf("got %+v", tally.Tables)
			}
		})
	}
}
