package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// The password changes while the first of two databases is dumped.
func TestRun_RotatedPassword(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	pg.Exec(t, "postgres", "CREATE ROLE odd SUPERUSER LOGIN", "CREATE DATABASE d1", "CREATE DATABASE d2")
	pg.HBA(t, "host all postgres 127.0.0.1/32 trust\nhost all odd 127.0.0.1/32 scram-sha-256\nlocal all all trust\n")
	begin := func(t *testing.T) (b *environment, passfile string) {
		passfile = filepath.Join(t.TempDir(), "passwords")
		pg.Exec(t, "postgres", "ALTER ROLE odd PASSWORD 'old'")
		if err := os.WriteFile(passfile, []byte("*:*:*:*:old\n"), 0o644); err != nil { // as a Secret is mounted
			t.Fatal(err)
		}
		rotate := fmt.Sprintf(`if [ "$PGDATABASE" = d1 ] && mkdir %[1]s.rotated 2>/dev/null; then
	env -i %[2]s/psql -qX -h 127.0.0.1 -p %[3]s -U postgres -c "ALTER ROLE odd PASSWORD 'new'" && echo '*:*:*:*:new' > %[1]s.new && mv %[1]s.new %[1]s
fi
exec %[2]s/pg_dump "$@"`, passfile, pg.Folder, pg.Port)
		return environmentOn(t, pg).with("PG_BIN_DIR", shimmed(t, pg.Folder, "pg_dump", rotate)), passfile
	}

	t.Run("a password file is read again for each connection", func(t *testing.T) {
		b, passfile := begin(t)
		b = b.with("DATABASE_URL", "postgres://odd@127.0.0.1:"+pg.Port+"/?sslmode=disable", "PGPASSFILE", passfile)
		// The first dump was given the old password before it was rotated: the run tells
		// so, and the next database is backed up.
		o := b.run("run", "--databases", "d1,d2")
		if len(o.result.Databases) != 2 || o.result.Databases[1].Category != backupapi.CategorySucceeded {
			t.Fatalf("result %+v\n%s", o.result.Databases, o.stderr)
		}
	})
	t.Run("a password in a variable stays the old one, and the next database fails with permission", func(t *testing.T) {
		b, _ := begin(t)
		o := b.with("DATABASE_URL", pg.URLAs("odd", "old", "")).run("run", "--databases", "d1,d2")
		if len(o.result.Databases) != 2 || o.result.Databases[1].Category != backupapi.CategoryPermission {
			t.Fatalf("result %+v\n%s", o.result.Databases, o.stderr)
		}
	})
}
