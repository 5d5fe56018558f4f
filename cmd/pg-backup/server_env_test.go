package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// The login comes from the environment of the server's container, by value and by
// file, with a password that needs escaping.
func TestRun_LoginOfTheContainer(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg).with("DATABASE_URL", "", "SERVER_ADDRESS", "127.0.0.1:"+pg.Port)
	const password = `p@ss:/?#%41&'" é`
	pg.Exec(t, "postgres", `CREATE ROLE odd SUPERUSER LOGIN PASSWORD 'p@ss:/?#%41&''" é'`, `CREATE DATABASE kept`)
	pg.Exec(t, "kept", social...)
	pg.HBA(t, "host all postgres 127.0.0.1/32 trust\nhost all odd 127.0.0.1/32 scram-sha-256\nlocal all all trust\n")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"by value": {"SERVER_ENV_POSTGRES_USER", "odd", "SERVER_ENV_POSTGRES_PASSWORD", password},
		"by file":  {"SERVER_ENV_POSTGRESQL_USERNAME", "odd", "SERVER_ENV_POSTGRESQL_PASSWORD_FILE", file},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.with(env...)
			o := b.must("run", "--databases", "kept")
			if strings.Contains(o.stdout+o.stderr, "p@ss") || strings.Contains(o.stdout+o.stderr, "p%40ss") {
				t.Error("the password is in the output")
			}
		})
	}
	t.Run("without a password DATABASE_URL is used", func(t *testing.T) {
		b.with("DATABASE_URL", pg.URL("")).must("run", "--databases", "kept")
	})
	t.Run("without either the error names the annotation", func(t *testing.T) {
		if o := b.fails(backupapi.CategoryUsage, "run"); !strings.Contains(o.stderr, backupapi.AnnotationURLSecret) {
			t.Error(o.stderr)
		}
	})
}
