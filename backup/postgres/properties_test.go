package postgres

import (
	"slices"
	"testing"

	"github.com/nova/novawire/backup"
)

// Manifests of earlier versions have SQL in their properties. Everybody who may write to
// the bucket can change it, so only what those versions wrote is run.
func TestTarget_PropertyStatements_OldManifests(t *testing.T) {
	target := &Target{}
	for text, want := range map[string]string{
		`ALTER DATABASE :"database" SET work_mem TO '7MB'`:                         `ALTER DATABASE "d" SET work_mem TO '7MB'`,
		`ALTER DATABASE :"database" SET "search_path" TO 'a', "b;c"`:               `ALTER DATABASE "d" SET "search_path" TO 'a', "b;c"`,
		`ALTER DATABASE :"database" SET search_path TO E'a\\b'`:                    `ALTER DATABASE "d" SET search_path TO E'a\\b'`,
		`ALTER ROLE "Odd ""one" IN DATABASE :"database" SET x.y TO 'it''s; \! id'`: "",
		`ALTER ROLE "Odd ""one" IN DATABASE :"database" SET xy TO 'it''s; \! id'`:  `ALTER ROLE "Odd ""one" IN DATABASE "d" SET xy TO 'it''s; \! id'`,
		`REVOKE ALL ON DATABASE :"database" FROM PUBLIC`:                           `REVOKE ALL ON DATABASE "d" FROM PUBLIC`,
		`GRANT CONNECT ON DATABASE :"database" TO "reader" WITH GRANT OPTION`:      `GRANT CONNECT ON DATABASE "d" TO "reader" WITH GRANT OPTION`,
		`GRANT TEMPORARY ON DATABASE :"database" TO PUBLIC`:                        `GRANT TEMPORARY ON DATABASE "d" TO PUBLIC`,
		// What must never run.
		`DROP DATABASE :"database"`:                                                 "",
		`ALTER DATABASE :"database" SET work_mem TO '7MB'; DROP TABLE t`:            "",
		`ALTER DATABASE :"database" SET work_mem TO '7MB' -- x`:                     "",
		"ALTER DATABASE :\"database\" SET work_mem TO '7MB'\n\\! touch x":           "",
		`ALTER DATABASE :"database" SET work_mem TO E'a\' || x --'`:                 "",
		`ALTER DATABASE "other" SET work_mem TO '7MB'`:                              "",
		`ALTER ROLE postgres SET work_mem TO '7MB'`:                                 "",
		`ALTER ROLE postgres PASSWORD 'x'`:                                          "",
		`ALTER ROLE a IN DATABASE :"database" SET b TO (SELECT 1)`:                  "",
		`GRANT postgres TO reader`:                                                  "",
		`GRANT ALL ON DATABASE :"database" TO reader, writer; CREATE ROLE x`:        "",
		`GRANT CONNECT ON DATABASE :"database" TO "reader"; ALTER ROLE r SUPERUSER`: "",
		` ALTER DATABASE :"database" SET work_mem TO '7MB'`:                         "",
		`COPY t FROM PROGRAM 'id'`:                                                  "",
		``:                                                                          "",
	} {
		t.Run(text, func(t *testing.T) {
			statements, refused := target.propertyStatements("d", backup.Properties{Settings: []string{text}})
			if want == "" && (len(statements) > 0 || !slices.Equal(refused, []string{text})) {
				t.Errorf("runs %q, refuses %q", statements, refused)
			}
			if want != "" && (!slices.Equal(statements, []string{want}) || len(refused) > 0) {
				t.Errorf("runs %q, refuses %q; want %q", statements, refused, want)
			}
		})
	}
	t.Run("without privileges grants of old manifests are left out", func(t *testing.T) {
		p := backup.Properties{Settings: []string{`GRANT CONNECT ON DATABASE :"database" TO reader`, `ALTER DATABASE :"database" SET work_mem TO '7MB'`}}
		statements, refused := (&Target{NoPrivileges: true}).propertyStatements("d", p)
		if want := []string{`ALTER DATABASE "d" SET work_mem TO '7MB'`}; !slices.Equal(statements, want) || len(refused) > 0 {
			t.Errorf("runs %q, refuses %q", statements, refused)
		}
	})
}
