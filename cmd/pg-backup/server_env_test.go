package main

import (
	"os"
	"path/filepath"
	"slices"
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

// The connection comes from the keys of a Secret: parts with a password that needs
// escaping, a URL of every database, and a login whose host is known from elsewhere.
func TestRun_KeysOfASecret(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	const password = `p@ss:/?#%41&'" é`
	pg.Exec(t, "postgres", `CREATE ROLE odd SUPERUSER LOGIN PASSWORD 'p@ss:/?#%41&''" é'`, `CREATE DATABASE kept`, `CREATE DATABASE other`, `CREATE DATABASE rdsadmin`)
	pg.Exec(t, "kept", social...)
	pg.HBA(t, "host all postgres 127.0.0.1/32 trust\nhost rdsadmin odd 127.0.0.1/32 reject\nhost all odd 127.0.0.1/32 scram-sha-256\nlocal all all trust\n")
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"AWS Secrets Manager names one database": {
			[]string{"SECRET_KEY_ENGINE", "postgres", "SECRET_KEY_USERNAME", "odd", "SECRET_KEY_PASSWORD", password, "SECRET_KEY_HOST", "127.0.0.1", "SECRET_KEY_PORT", pg.Port, "SECRET_KEY_DBNAME", "kept"},
			[]string{"kept"},
		},
		"every database, without those of the provider": {
			[]string{"SECRET_KEY_URI", "postgresql://odd:p%40ss:%2F%3F%23%2541&%27%22%20%C3%A9@127.0.0.1:" + pg.Port + "/*"},
			[]string{"kept", "other", "postgres"},
		},
		"the address is known": {
			[]string{"SECRET_KEY_USERNAME", "odd", "SECRET_KEY_PASSWORD", password, "SERVER_ADDRESS", "127.0.0.1:" + pg.Port, "DATABASES", "other"},
			[]string{"other"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := environmentOn(t, pg).with("DATABASE_URL", "", "CONNECTION_SECRET", "rds").with(c.env...)
			o := b.must("run")
			var got []string
			for _, d := range o.result.Databases {
				got = append(got, d.Name)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("backed up %q, want %q", got, c.want)
			}
			if text := o.stdout + o.stderr; strings.Contains(text, "p@ss") || strings.Contains(text, "p%40ss") {
				t.Error("the password is in the output")
			}
		})
	}
	t.Run("an incomplete Secret is named, and what it lacks", func(t *testing.T) {
		b := environmentOn(t, pg).with("DATABASE_URL", "", "CONNECTION_SECRET", "rds", "SECRET_KEY_PASSWORD", password)
		if o := b.fails(backupapi.CategoryUsage, "run"); !strings.Contains(o.stderr, "read Secret rds: it names no host") || strings.Contains(o.stderr, "p@ss") {
			t.Error(o.stderr)
		}
	})
}
