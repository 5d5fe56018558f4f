package postgres_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// What a writer to the bucket can put in the place of the roles, with matching hash and
// size.
func TestTarget_Globals_HostileText(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	pg.Exec(t, "postgres", "CREATE ROLE app LOGIN PASSWORD 'kept'", "CREATE ROLE admin SUPERUSER", "CREATE TABLESPACE kept LOCATION '"+pg.NewFolder(t)+"'")
	address, err := postgres.ParseAddress(pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(t.TempDir(), "owned")
	state := func() string {
		return pg.Value(t, "postgres", `SELECT concat_ws(E'\n',
			(SELECT string_agg(a::text, ' ' ORDER BY rolname) FROM pg_authid a WHERE rolname !~ '^pg_'), (SELECT string_agg(d::text, ' ' ORDER BY datname) FROM (SELECT datname, datdba, datacl FROM pg_database) d),
			(SELECT string_agg(m::text, ' ' ORDER BY m::text) FROM pg_auth_members m), (SELECT string_agg(s::text, ' ' ORDER BY s::text) FROM pg_db_role_setting s),
			(SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM pg_tablespace t), (SELECT string_agg(p::text, ' ' ORDER BY p::text) FROM pg_parameter_acl p),
			(SELECT string_agg(relname, ' ') FROM pg_class WHERE oid >= 16384 AND relkind = 'r'))`)
	}
	for name, text := range map[string]string{
		"a command of psql":                      "\\! touch " + marker + "\n",
		"a command of psql after a statement":    "SET x = 'y';\n\\! touch " + marker + "\n",
		"a command of psql within a statement":   "COMMENT ON ROLE app IS 'x\n\\! touch " + marker + "\n';",
		"a program of the server":                "COPY (SELECT 1) TO PROGRAM 'touch " + marker + "';",
		"a table":                                "CREATE TABLE t AS SELECT 1;",
		"a database":                             "DROP DATABASE template1; CREATE DATABASE d; ALTER DATABASE postgres OWNER TO app;",
		"a setting of the server":                "ALTER SYSTEM SET archive_command = 'touch " + marker + "';",
		"a code block":                           "DO 'BEGIN EXECUTE ''CREATE TABLE t ()''; END';",
		"an attribute of a role that exists":     "ALTER ROLE app WITH SUPERUSER LOGIN PASSWORD 'new';",
		"a role that exists, created again":      "CREATE ROLE app;\nALTER ROLE app WITH SUPERUSER PASSWORD 'new';",
		"a setting of a role that exists":        "ALTER ROLE app SET session_preload_libraries TO 'evil';",
		"a setting of all roles":                 "ALTER ROLE ALL SET session_preload_libraries TO 'evil';",
		"a membership of a role that exists":     "GRANT admin TO app;\nGRANT admin TO app WITH ADMIN OPTION GRANTED BY postgres;",
		"a parameter for a role that exists":     "GRANT SET ON PARAMETER session_preload_libraries TO app;\nGRANT ALTER SYSTEM ON PARAMETER archive_command TO app WITH GRANT OPTION;",
		"a tablespace that exists":               "GRANT CREATE ON TABLESPACE kept TO app;\nALTER TABLESPACE kept SET (seq_page_cost=9);\nALTER TABLESPACE kept OWNER TO app;\nDROP TABLESPACE kept;",
		"a role that exists, under another case": "alter role APP with superuser;",
		"a comment that hides a statement":       "-- x\nALTER ROLE app WITH SUPERUSER; -- y",
		"a role that is dropped":                 "DROP ROLE app; REASSIGN OWNED BY app TO postgres;",
	} {
		t.Run(name+" changes nothing", func(t *testing.T) {
			before := state()
			target := &postgres.Target{Address: address, Folders: []string{pg.Folder}, RolePasswords: true}
			warnings, err := target.Globals(t.Context(), strings.NewReader(text))
			if after := state(); after != before {
				t.Errorf("before\n%s\nafter\n%s\nwarnings %q, error %v", before, after, warnings, err)
			}
			if _, err := os.Stat(marker); !os.IsNotExist(err) {
				t.Error("a command was run")
			}
		})
	}
	t.Run("a text that is not understood is refused whole", func(t *testing.T) {
		for _, text := range []string{"CREATE ROLE half; ALTER ROLE half WITH PASSWORD 'x", "CREATE ROLE half; SELECT $$x$$;", "CREATE ROLE half"} {
			if _, err := (&postgres.Target{Address: address}).Globals(t.Context(), strings.NewReader(text)); err == nil {
				t.Errorf("%q was accepted", text)
			}
		}
		if got := pg.Value(t, "postgres", "SELECT count(*)::text FROM pg_roles WHERE rolname = 'half'"); got != "0" {
			t.Error("a part of it was run")
		}
	})
}
