package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestRestore_Globals(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg)
	pg.Exec(t, "postgres", "CREATE ROLE app LOGIN PASSWORD 'old'", `CREATE ROLE "Odd ""one; \! touch x" NOLOGIN CONNECTION LIMIT 3`, "CREATE ROLE member IN ROLE app",
		"ALTER ROLE app SET search_path = 'a', 'b'", "COMMENT ON ROLE app IS 'it''s; \\! touch x'", "CREATE DATABASE d OWNER app")
	pg.Exec(t, "d", "CREATE TABLE t (a int)", `ALTER TABLE t OWNER TO "Odd ""one; \! touch x"`)
	b.must("run", "--databases", "d")
	password := "SELECT coalesce(rolpassword, '-') FROM pg_authid WHERE rolname = "

	t.Run("roles that exist are left as they are, and the difference is printed", func(t *testing.T) {
		pg.Exec(t, "postgres", "ALTER ROLE app NOLOGIN PASSWORD 'rotated'", "ALTER ROLE postgres PASSWORD 'kept'")
		app, postgres := pg.Value(t, "postgres", password+"'app'"), pg.Value(t, "postgres", password+"'postgres'")
		o := b.must("restore", "--database", "d", "--to", "back", "--globals", "--role-passwords")
		defer pg.Exec(t, "postgres", "DROP DATABASE back")
		if pg.Value(t, "postgres", password+"'app'") != app || pg.Value(t, "postgres", password+"'postgres'") != postgres {
			t.Error("a password was replaced")
		}
		if pg.Value(t, "postgres", "SELECT rolcanlogin::text FROM pg_roles WHERE rolname = 'app'") != "false" {
			t.Error("the role can log in again")
		}
		if warnings := strings.Join(o.result.Warnings, "\n"); !strings.Contains(warnings, `"app" exists`) || !strings.Contains(warnings, "LOGIN") {
			t.Errorf("warnings: %s", warnings)
		}
	})
	for _, passwords := range []bool{false, true} {
		t.Run("new roles are made", func(t *testing.T) {
			other := pgtest.NewPostgres(t)
			b := b.with("DATABASE_URL", other.URL(""))
			args := []string{"restore", "--database", "d", "--globals"}
			if passwords {
				args = append(args, "--role-passwords")
			}
			b.must(args...)
			if got := other.Value(t, "postgres", password+"'app'"); passwords != strings.HasPrefix(got, "SCRAM") {
				t.Errorf("the password is %.10s", got)
			}
			got := other.Value(t, "postgres", `SELECT string_agg(rolname || rolconnlimit || rolcanlogin, ' ' ORDER BY rolname) FROM pg_roles WHERE oid >= 16384`)
			if got != `Odd "one; \! touch x3false app-1true member-1false` {
				t.Errorf("roles: %s", got)
			}
			if got := other.Value(t, "postgres", `SELECT array_to_string(setconfig, '|') || obj FROM pg_db_role_setting, (SELECT shobj_description(oid, 'pg_authid') AS obj FROM pg_roles WHERE rolname = 'app') AS c`); got != `search_path=a, bit's; \! touch x` {
				t.Errorf("settings: %s", got)
			}
			if got := other.Value(t, "postgres", `SELECT count(*)::text FROM pg_auth_members WHERE member = 'member'::regrole`); got != "1" {
				t.Error("the membership is lost")
			}
		})
	}
	t.Run("missing roles are told before anything is made", func(t *testing.T) {
		other := pgtest.NewPostgres(t)
		b := b.with("DATABASE_URL", other.URL(""))
		o := b.fails(backupapi.CategoryRefused, "restore", "--database", "d")
		if !strings.Contains(o.result.Message, `Odd ""one`) {
			t.Errorf("message: %s", o.result.Message)
		}
		if got := other.Value(t, "postgres", "SELECT count(*)::text FROM pg_database WHERE datname = 'd'"); got != "0" {
			t.Error("the database was made")
		}
		b.must("restore", "--database", "d", "--no-owner")
	})
}

func TestRestore_MissingGrantees(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg)
	pg.Exec(t, "postgres", `CREATE ROLE "Reader; x"`, "CREATE ROLE adder", "CREATE DATABASE d")
	pg.Exec(t, "d", "CREATE TABLE t (a int)", `GRANT SELECT ON t TO "Reader; x"`, "ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO adder")
	b.must("run", "--databases", "d")
	other := pgtest.NewPostgres(t)
	b = b.with("DATABASE_URL", other.URL(""))
	for name, flags := range map[string][]string{"with owners": nil, "without owners": {"--no-owner"}} {
		t.Run(name+" the restore is refused before the database is created", func(t *testing.T) {
			o := b.fails(backupapi.CategoryRefused, append([]string{"restore", "--database", "d"}, flags...)...)
			if !strings.Contains(o.result.Message, `"Reader; x", adder`) || !strings.Contains(o.result.Message, "--no-privileges") {
				t.Errorf("message: %s", o.result.Message)
			}
			if got := other.Value(t, "postgres", "SELECT count(*)::text FROM pg_database WHERE datname = 'd'"); got != "0" {
				t.Error("the database was created")
			}
		})
	}
	t.Run("without privileges the roles are not needed", func(t *testing.T) {
		b.must("restore", "--database", "d", "--no-privileges")
		if got := other.Value(t, "d", "SELECT coalesce(array_to_string(relacl, '|'), 'none') FROM pg_class WHERE relname = 't'"); got != "none" {
			t.Errorf("privileges: %s", got)
		}
	})
}

func TestDrill_Tablespaces(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg)
	folder := pg.NewFolder(t)
	pg.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+folder+"'", "CREATE DATABASE d TABLESPACE fast")
	pg.Exec(t, "d", "CREATE TABLE t (a int) TABLESPACE fast", "INSERT INTO t VALUES (1)", "CREATE TABLE u (a int PRIMARY KEY USING INDEX TABLESPACE pg_default)")
	b.must("run", "--databases", "d")
	before, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.must("drill", "--database", "d")
	}
	after, err := os.ReadDir(folder)
	if err != nil || len(after) != len(before) {
		t.Errorf("%d entries in the tablespace's folder, before %d: %v", len(after), len(before), err)
	}
	b.must("restore", "--database", "d", "--to", "plain", "--no-tablespaces")
	if got := pg.Value(t, "plain", "SELECT count(*)::text FROM pg_class WHERE reltablespace <> 0 AND relnamespace = 'public'::regnamespace"); got != "0" {
		t.Errorf("%s relations are in tablespaces", got)
	}
	other := pgtest.NewPostgres(t)
	elsewhere := other.NewFolder(t)
	onOther := b.with("DATABASE_URL", other.URL(""))
	onOther.fails(backupapi.CategoryRefused, "restore", "--database", "d")
	onOther.must("restore", "--database", "d", "--globals", "--tablespace-map", "fast="+elsewhere)
	if got := other.Value(t, "d", "SELECT pg_tablespace_location(dattablespace) FROM pg_database WHERE datname = 'd'"); filepath.Clean(got) != elsewhere {
		t.Errorf("the tablespace is in %s", got)
	}
}
