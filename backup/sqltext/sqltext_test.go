package sqltext_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/backup/sqltext"
)

func TestSplit(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"comments, psql's lines and statements": {"-- x;\n\\restrict abc\nSET a = on;\n\n\\! touch x\nCREATE ROLE app;", []string{"SET a = on", "CREATE ROLE app"}},
		"names and values that look like SQL":   {`CREATE ROLE "a;b -- ""c"" \! x"; COMMENT ON ROLE x IS 'it''s; \! y';`, []string{`CREATE ROLE "a;b -- ""c"" \! x"`, `COMMENT ON ROLE x IS 'it''s; \! y'`}},
		"a name with a line end":                {"CREATE ROLE \"a\n\\! x\n\";", []string{"CREATE ROLE \"a\n\\! x\n\""}},
		"strings with escapes":                  {`ALTER ROLE x PASSWORD E'a\\b\'c''d';`, []string{`ALTER ROLE x PASSWORD 'a\b''c''d'`}},
	} {
		t.Run(name, func(t *testing.T) {
			statements, err := sqltext.Split(c.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range statements {
				got = append(got, s.SQL())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, text := range []string{"CREATE ROLE x \\! touch y;", "CREATE ROLE 'x;", `CREATE ROLE "x;`, "DO $$ x $$;", "CREATE ROLE x", "SELECT E'\\x41';", "/* x */ SELECT 1;"} {
		if got, err := sqltext.Split(text); err == nil {
			t.Errorf("%s: understood as %v", text, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`CREATE ROLE "a;b"; ALTER ROLE x WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:x==$y=:z=';`)
	f.Fuzz(func(t *testing.T, text string) {
		statements, err := sqltext.Split(text)
		if err != nil || strings.Contains(text, "\x00") {
			return
		}
		for _, s := range statements { // what is written anew means the same
			again, err := sqltext.Split(s.SQL() + ";")
			if err != nil || len(again) != 1 || again[0].SQL() != s.SQL() {
				t.Fatalf("%q became %v: %v", s.SQL(), again, err)
			}
		}
	})
}
