package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/testing/pgtest"
)

// properties returns what pg_dump --create writes about a database itself.
func properties(t *testing.T, pg *pgtest.Postgres, database string) []string {
	t.Helper()
	out, err := exec.Command(filepath.Join(pg.Folder, "pg_dump"), "-h", "127.0.0.1", "-p", pg.Port, "-U", pgtest.Superuser, "--create", "--schema-only", "-d", database).CombinedOutput()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, out)
	}
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "DATABASE") && !strings.HasPrefix(line, "--") {
			lines = append(lines, strings.ReplaceAll(line, database, "NAME"))
		}
	}
	return lines
}

func TestRestore_Properties(t *testing.T) {
	b := newEnvironment(t)
	roles := []string{"prop_owner", "prop_reader", "prop_grantor"}
	for _, role := range roles {
		b.pg.Exec(t, "postgres", "CREATE ROLE "+role)
	}
	for name, statements := range map[string][]string{
		"nothing special":           nil,
		"an empty search path":      {`ALTER DATABASE NAME SET search_path = ''`},
		"a search path of names":    {`ALTER DATABASE NAME SET search_path = "$user", "Odd ""name, x", public`},
		"a search path of one name": {`ALTER DATABASE NAME SET search_path = 'a, b'`},
		"values with quotes":        {`ALTER DATABASE NAME SET application_name = 'it''s "\! :"database" \ :name'`},
		"values with spaces":        {`ALTER DATABASE NAME SET DateStyle = 'SQL, DMY'`, `ALTER DATABASE NAME SET default_transaction_isolation = 'repeatable read'`},
		"a value of several lines":  {"ALTER DATABASE NAME SET application_name = E'a\\n\\\\! touch x'"},
		"lists that are not names":  {`ALTER DATABASE NAME SET log_statement = 'all'`, `ALTER DATABASE NAME SET temp_tablespaces = ''`, `ALTER DATABASE NAME SET session_preload_libraries = 'auto_explain'`},
		"settings of an extension":  {`ALTER DATABASE NAME SET "my.own" = 'x'`},
		"settings that hurt":        {`ALTER DATABASE NAME SET statement_timeout = '1ms'`, `ALTER DATABASE NAME SET default_transaction_read_only = on`, `ALTER DATABASE NAME SET client_encoding = 'LATIN1'`, `ALTER DATABASE NAME SET standard_conforming_strings = off`},
		"settings of a role":        {`ALTER ROLE prop_reader IN DATABASE NAME SET search_path = x, "Y"`, `ALTER ROLE prop_reader IN DATABASE NAME SET work_mem = '7MB'`},
		"a connection limit":        {`ALTER DATABASE NAME CONNECTION LIMIT 7`},
		"a connection limit of 0":   {`ALTER DATABASE NAME CONNECTION LIMIT 0`},
		"a template":                {`ALTER DATABASE NAME IS_TEMPLATE true`},
		"a comment":                 {`COMMENT ON DATABASE NAME IS 'it''s the \! one; -- x'`},
		"an owner":                  {`ALTER DATABASE NAME OWNER TO prop_owner`},
		"nothing for the public":    {`REVOKE ALL ON DATABASE NAME FROM PUBLIC`},
		"nothing for anybody":       {`REVOKE ALL ON DATABASE NAME FROM PUBLIC`, `REVOKE ALL ON DATABASE NAME FROM postgres`},
		"a part for the public":     {`REVOKE TEMPORARY ON DATABASE NAME FROM PUBLIC`},
		"a part for the owner":      {`ALTER DATABASE NAME OWNER TO prop_owner`, `REVOKE CREATE ON DATABASE NAME FROM prop_owner`},
		"grants, with their option": {`GRANT CREATE ON DATABASE NAME TO prop_reader WITH GRANT OPTION`, `GRANT CONNECT ON DATABASE NAME TO prop_reader`},
		"a grant by another role":   {`GRANT CREATE ON DATABASE NAME TO prop_grantor WITH GRANT OPTION`, `SET ROLE prop_grantor; GRANT CREATE ON DATABASE NAME TO prop_reader`},
	} {
		t.Run(name, func(t *testing.T) {
			source := b.pg.Database(t, "CREATE TABLE t (a int)")
			conn := b.pg.Connect(t, "postgres")
			for _, s := range statements {
				if _, err := conn.Exec(t.Context(), strings.ReplaceAll(s, "NAME", source)); err != nil {
					t.Fatal(err)
				}
			}
			conn.Close(t.Context())
			defer b.pg.Exec(t, "postgres", "ALTER DATABASE "+source+" IS_TEMPLATE false", "ALTER DATABASE "+source+" CONNECTION LIMIT -1")
			b.must("run", "--databases", source)
			o := b.must("restore", "--database", source, "--to", source+"_back")
			if len(o.result.Warnings) > 0 {
				t.Errorf("warnings: %v", o.result.Warnings)
			}
			defer b.pg.Exec(t, "postgres", "ALTER DATABASE "+source+"_back IS_TEMPLATE false", "DROP DATABASE "+source+"_back")
			want := properties(t, b.pg, source)
			got := properties(t, b.pg, source+"_back")
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "NAME_back", "NAME")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
