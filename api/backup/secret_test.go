package backup

import (
	"strings"
	"testing"
)

const hidden = "p@ss:/w%rd"

// secretEnv returns the environment that a Job has of a Secret's keys.
func secretEnv(keys map[string]string) func(string) string {
	env := map[string]string{}
	for key, value := range keys {
		env[SecretVariable(key)] = value
	}
	return func(name string) string { return env[name] }
}

func TestSecretURL(t *testing.T) {
	for name, c := range map[string]struct {
		keys        map[string]string
		address     string
		want, wrong string
	}{
		"AWS Secrets Manager": {
			keys: map[string]string{"engine": "aurora-postgresql", "username": "admin", "password": hidden, "host": "db.abc.eu-central-1.rds.amazonaws.com", "port": "5433", "dbname": "app"},
			want: "postgres://admin:p%40ss%3A%2Fw%25rd@db.abc.eu-central-1.rds.amazonaws.com:5433/app",
		},
		"without port and database": {
			keys: map[string]string{"username": "u", "password": hidden, "host": "db"}, want: "postgres://u:p%40ss%3A%2Fw%25rd@db:5432",
		},
		"CloudNativePG, application": {
			keys: map[string]string{"uri": "postgresql://app:pw@pg-rw.nova:5432/app", "username": "app", "password": "pw", "host": "pg-rw"},
			want: "postgresql://app:pw@pg-rw.nova:5432/app",
		},
		"CloudNativePG, superuser: every database": {
			keys: map[string]string{"uri": "postgresql://postgres:pw@pg-rw.nova:5432/*", "dbname": "*"}, want: "postgresql://postgres:pw@pg-rw.nova:5432",
		},
		"parts of every database": {
			keys: map[string]string{"username": "u", "password": "p", "host": "db", "dbname": "*"}, want: "postgres://u:p@db:5432",
		},
		"Zalando operator": {
			keys: map[string]string{"username": "postgres", "password": "pw"}, address: "pg.nova.svc:5432", want: "postgres://postgres:pw@pg.nova.svc:5432",
		},
		"the Secret's host wins over the known one": {
			keys: map[string]string{"username": "u", "password": "p", "host": "db", "port": "1"}, address: "pg.nova.svc:5432", want: "postgres://u:p@db:1",
		},
		"Crossplane":              {keys: map[string]string{"username": "u", "password": "p", "endpoint": "db"}, want: "postgres://u:p@db:5432"},
		"a host with its port":    {keys: map[string]string{"user": "u", "password": "p", "host": "db:7"}, want: "postgres://u:p@db:7"},
		"an IPv6 address":         {keys: map[string]string{"user": "u", "password": "p", "host": "fd00::1"}, want: "postgres://u:p@[fd00::1]:5432"},
		"a newline at the end":    {keys: map[string]string{"user": "u\n", "password": "p\n", "host": "db\n"}, want: "postgres://u:p@db:5432"},
		"a URL":                   {keys: map[string]string{"DATABASE_URL": "postgres://u:p@db/app?sslmode=require"}, want: "postgres://u:p@db/app?sslmode=require"},
		"another system":          {keys: map[string]string{"engine": "mysql", "username": "u", "password": hidden, "host": "db"}, wrong: `engine is "mysql", not PostgreSQL`},
		"a URL of another system": {keys: map[string]string{"url": "mysql://u:" + hidden + "@db"}, wrong: "its URL is not postgres://"},
		"no host":                 {keys: map[string]string{"username": "u", "password": hidden}, wrong: "it needs a key host or endpoint"},
		"no password":             {keys: map[string]string{"username": "u", "host": "db"}, wrong: "it needs the keys username or user and password"},
		"no user":                 {keys: map[string]string{"password": hidden, "host": "db"}, wrong: "it needs the keys username or user and password"},
		"nothing":                 {wrong: AnnotationURLSecret},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SecretURL("db", c.address, secretEnv(c.keys))
			switch {
			case c.wrong == "" && (err != nil || got != c.want):
				t.Errorf("%q, %v; want %q", got, err, c.want)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), "Secret db")):
				t.Errorf("%q, %v; want an error with %q", got, err, c.wrong)
			case err != nil && strings.Contains(err.Error(), hidden):
				t.Errorf("the error has the password: %v", err)
			}
			if err == nil && checkDatabaseURL(got) != nil {
				t.Errorf("pg-backup refuses %q", got)
			}
		})
	}
}

func TestCheckSecretKeys(t *testing.T) {
	for name, c := range map[string]struct {
		keys    string
		address bool
		want    string
	}{
		"a URL":                       {"uri", false, ""},
		"all parts":                   {"username password host port dbname engine", false, ""},
		"the host is known":           {"username password", true, ""},
		"no host":                     {"username password", false, "no key host or endpoint"},
		"no password":                 {"user host", false, "no key password"},
		"other names":                 {"DB_USER DB_PASS", true, "no key username or user, password, and no key url or uri or DATABASE_URL: name others with " + AnnotationURLSecret},
		"only a host, that is known,": {"host", true, "no key username or user, password"},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckSecretKeys(strings.Fields(c.keys), c.address)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What the webhook accepts gives pg-backup a URL, and what it does not gives an error.
func TestCheckSecretKeys_AgreesWithSecretURL(t *testing.T) {
	keys := ConnectionKeys()
	for set := range 1 << len(keys) {
		present, values := []string{}, map[string]string{}
		for i, key := range keys {
			if set&(1<<i) == 0 {
				continue
			}
			present = append(present, key)
			values[key] = map[string]string{"engine": "postgres", "port": "5432", "url": "postgres://db", "uri": "postgres://db", "DATABASE_URL": "postgres://db"}[key]
			if values[key] == "" {
				values[key] = "x"
			}
		}
		for _, address := range []string{"", "db:5432"} {
			_, err := SecretURL("db", address, secretEnv(values))
			if checked := CheckSecretKeys(present, address != ""); (checked == nil) != (err == nil) {
				t.Fatalf("keys %q, address %q: the check says %v, the program %v", present, address, checked, err)
			}
		}
	}
}
