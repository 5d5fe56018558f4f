package postgres

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Sessions and processes connect in the same way, whatever the way is that it is said.
func TestAddress_Resolve(t *testing.T) {
	home := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	passfile := file("passwords", "h:*:*:u:from-file\n")
	service := file("services", "[other]\nhost=no\n[prod]\n# comment\nhost=from-service\nport=7777\nuser=s\nsslmode=require\n")
	for name, c := range map[string]struct {
		url     string
		env     map[string]string
		process []string // variables of libpq's programs
		host    string   // of a session
		port    uint16
		secret  string
		tls     bool
	}{
		"the URL alone":       {"postgres://u:hunter2@h:1", nil, []string{"PGHOST=h", "PGPORT=1", "PGUSER=u", "PGPASSWORD=hunter2", "PGSSLMODE=prefer"}, "h", 1, "hunter2", true},
		"variables":           {"postgres://u@h", map[string]string{"PGPORT": "6543", "PGPASSWORD": "secret", "PGSSLMODE": "require"}, []string{"PGPORT=6543", "PGPASSWORD=secret", "PGSSLMODE=require"}, "h", 6543, "secret", true},
		"the URL wins":        {"postgres://u:hunter2@h:1?sslmode=disable", map[string]string{"PGPORT": "6543", "PGPASSWORD": "no", "PGSSLMODE": "require"}, []string{"PGPORT=1", "PGPASSWORD=hunter2", "PGSSLMODE=disable"}, "h", 1, "hunter2", false},
		"a password file":     {"postgres://u@h", map[string]string{"PGPASSFILE": passfile}, []string{"PGPASSFILE=" + passfile}, "h", 5432, "from-file", true},
		"a service":           {"postgres://", map[string]string{"PGSERVICE": "prod", "PGSERVICEFILE": service, "PGPORT": "1"}, []string{"PGHOST=from-service", "PGPORT=7777", "PGUSER=s", "PGSSLMODE=require"}, "from-service", 7777, "", true},
		"a service in a URL":  {"postgres://u@h?service=prod", map[string]string{"PGSERVICEFILE": service}, []string{"PGHOST=h", "PGPORT=7777", "PGUSER=u"}, "h", 7777, "", true},
		"PGDATABASE does not": {"postgres://u@h", map[string]string{"PGDATABASE": "other"}, []string{"PGDATABASE=db"}, "h", 5432, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := ParseAddress(c.url)
			if err != nil {
				t.Fatal(err)
			}
			if a, err = a.Resolve(func(name string) string { return c.env[name] }); err != nil {
				t.Fatal(err)
			}
			process := a.environment("db", 15)
			for _, want := range c.process {
				if !slices.Contains(process, want) {
					t.Errorf("processes lack %s: %q", want, process)
				}
			}
			config, err := a.config("db", 15)
			if err != nil {
				t.Fatal(err)
			}
			if config.Host != c.host || config.Port != c.port || config.Password != c.secret || config.Database != "db" || (config.TLSConfig != nil) != c.tls {
				t.Errorf("sessions have %s %d %q %s, TLS %v", config.Host, config.Port, config.Password, config.Database, config.TLSConfig != nil)
			}
			if text := a.String(); c.secret != "" && strings.Contains(text, "="+c.secret) {
				t.Errorf("the password is in %s", text)
			}
		})
	}
	for name, env := range map[string]map[string]string{
		"a service that does not exist": {"PGSERVICE": "none", "PGSERVICEFILE": service},
		"a service file that is gone":   {"PGSERVICE": "prod", "PGSERVICEFILE": home + "/none"},
		"an address that pgx ignores":   {"PGHOSTADDR": "127.0.0.1"},
	} {
		a, err := ParseAddress("postgres://u@h")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Resolve(func(name string) string { return env[name] }); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
