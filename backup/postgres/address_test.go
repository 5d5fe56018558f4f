package postgres

import (
	"slices"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	cases := []struct {
		name, url                            string
		host, port, user, password, database string
	}{
		{"the whole server", "postgres://u:p@h:5432", "h", "5432", "u", "p", ""},
		{"one database", "postgresql://u:p@h/nova_auth?sslmode=require", "h", "", "u", "p", "nova_auth"},
		{"no password", "postgres://u@h/db", "h", "", "u", "", "db"},
		{"no user", "postgres://h:1/db", "h", "1", "", "", "db"},
		{"special characters as they are", `postgres://u:p@ss:/?#%&'" é@h:5432/db`, "h", "5432", "u", `p@ss:/?#%&'" é`, "db"},
		{"special characters encoded", "postgres://u:p%40ss%2F@h/db", "h", "", "u", "p@ss/", "db"},
		{"a percent sign that encodes nothing", "postgres://u:100%@h/db", "h", "", "u", "100%", "db"},
		{"an escape beside a percent sign that encodes nothing", "postgres://u:%41%@h/db", "h", "", "u", "%41%", "db"},
		{"an escape where the user encodes nothing", "postgres://100%:%41@h/db", "h", "", "100%", "%41", "db"},
		{"an escape where the database encodes nothing", "postgres://u:%41@h/100%", "h", "", "u", "%41", "100%"},
		{"an escape in a valid URL", "postgres://u%42:%41@h/%43", "h", "", "uB", "A", "C"},
		{"an address of version 6", "postgres://u:p@[::1]:5432/db", "::1", "5432", "u", "p", "db"},
		{"two hosts", "postgres://u:p@a:1,b:2/db", "a,b", "1,2", "u", "p", "db"},
		{"a socket", "postgres:///db?host=/var/run/postgresql", "/var/run/postgresql", "", "", "", "db"},
		{"a database with an encoded name", "postgres://u:p@h/odd%20name", "h", "", "u", "p", "odd name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, err := ParseAddress(c.url)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{a.Host, a.Port, a.User, a.Password, a.Database}
			if want := []string{c.host, c.port, c.user, c.password, c.database}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			config, err := a.config("db", 15)
			if err != nil {
				t.Fatal(err)
			}
			if config.Password != c.password && c.password != "" {
				t.Errorf("pgx has the password %q", config.Password)
			}
		})
	}
}

func TestAddresses_RefusedHidePassword(t *testing.T) {
	for _, url := range []string{"mysql://u:hunter2@h", "postgres://u:hunter2@h/db?sslmod=require", "postgres://u:hunter2@h/a/b", "postgres://u:hunter2@h/db#x"} {
		if _, err := ParseAddress(url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", url, err)
		}
	}
	a, err := ParseAddress("postgres://u:hunter2@h/db?sslmode=sometimes")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.config("db", 15); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("sslmode: got %v", err)
	}
}

func TestAddress_Environment(t *testing.T) {
	a, err := ParseAddress("postgres://u:p@h:1/db?sslmode=verify-full&sslrootcert=/ca.pem&options=-c%20x%3D1")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(a.environment("other", 15), " ")
	if want := "LC_ALL=C PGAPPNAME=pg-backup PGDATABASE=other PGHOST=h PGOPTIONS=" + options(pinned, 15, "-c x=1") + " PGPASSWORD=p PGPORT=1 PGSSLMODE=verify-full PGSSLROOTCERT=/ca.pem PGUSER=u"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add(`postgres://u:p@ss:/?#%&'" é@h:5432/db?sslmode=disable`)
	f.Fuzz(func(t *testing.T, url string) {
		if a, err := ParseAddress(url); err == nil {
			_ = a.environment("db", 15)
		}
	})
}
