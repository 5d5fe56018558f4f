package restore

import (
	"slices"
	"testing"

	"github.com/nova/novawire/backup/pgarchive"
)

func TestGranteesOf(t *testing.T) {
	for name, c := range map[string]struct {
		kind, sql string
		want      []string
	}{
		"a grant":                      {"ACL", `GRANT SELECT ON TABLE public.t TO reader;`, []string{"reader"}},
		"a name that needs quotes":     {"ACL", `GRANT SELECT ON TABLE public.t TO "Odd ""role; TO x";`, []string{`Odd "role; TO x`}},
		"everybody":                    {"ACL", `GRANT SELECT ON TABLE public.t TO PUBLIC;`, nil},
		"a role called public":         {"ACL", `GRANT SELECT ON TABLE public.t TO "public";`, []string{"public"}},
		"a revocation":                 {"ACL", `REVOKE ALL ON SCHEMA s FROM writer;`, []string{"writer"}},
		"a grant by another role":      {"ACL", "SET SESSION AUTHORIZATION grantor;\nGRANT SELECT ON TABLE public.t TO reader WITH GRANT OPTION;\nRESET SESSION AUTHORIZATION;", []string{"grantor", "reader"}},
		"columns and a table of roles": {"ACL", `GRANT SELECT(role),UPDATE("to") ON TABLE public.role TO reader;`, []string{"reader"}},
		"default privileges":           {"DEFAULT ACL", `ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA s GRANT SELECT ON TABLES TO reader;`, []string{"owner", "reader"}},
		"a comment":                    {"COMMENT", `COMMENT ON TABLE public.t IS 'TO reader';`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := granteesOf(pgarchive.Entry{Kind: c.kind, Definition: c.sql}); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
