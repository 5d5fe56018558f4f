package backup

import (
	"errors"
	"strings"
	"testing"
)

func TestServerURL(t *testing.T) {
	files := map[string]string{
		"/run/secrets/pw":        "from file\n",
		"/opt/bitnami/secrets/p": "p@ss:w/rd%41",
		"/run/secrets/user":      "owner\r\n",
	}
	cases := []struct {
		name        string
		env         map[string]string
		want, error string
	}{
		{"official image", map[string]string{"POSTGRES_PASSWORD": "x"}, "postgres://postgres:x@h:5432", ""},
		{"official image with a user and a database", map[string]string{"POSTGRES_USER": "nova", "POSTGRES_PASSWORD": "x", "POSTGRES_DB": "auth"}, "postgres://nova:x@h:5432", ""},
		{"official image with files", map[string]string{"POSTGRES_USER_FILE": "/run/secrets/user", "POSTGRES_PASSWORD_FILE": "/run/secrets/pw"}, "postgres://owner:from%20file@h:5432", ""},
		{"official image without passwords", map[string]string{"POSTGRES_HOST_AUTH_METHOD": "trust"}, "postgres://postgres@h:5432", ""},
		{"Bitnami's superuser", map[string]string{"POSTGRES_PASSWORD": "super"}, "postgres://postgres:super@h:5432", ""},
		{"Bitnami's superuser beside a user", map[string]string{"POSTGRESQL_USERNAME": "app", "POSTGRESQL_PASSWORD": "app", "POSTGRESQL_POSTGRES_PASSWORD": "super"}, "postgres://postgres:super@h:5432", ""},
		{"Bitnami's chart names", map[string]string{"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "app", "POSTGRES_POSTGRES_PASSWORD": "super"}, "postgres://postgres:super@h:5432", ""},
		{"Bitnami's user alone", map[string]string{"POSTGRESQL_USERNAME": "app", "POSTGRESQL_PASSWORD": "app"}, "postgres://app:app@h:5432", ""},
		{"Bitnami's files, with every special character", map[string]string{"POSTGRES_PASSWORD_FILE": "/opt/bitnami/secrets/p"}, "postgres://postgres:p%40ss%3Aw%2Frd%2541@h:5432", ""},
		{"Bitnami without passwords", map[string]string{"ALLOW_EMPTY_PASSWORD": "yes"}, "postgres://postgres@h:5432", ""},
		{"Red Hat", map[string]string{"POSTGRESQL_USER": "app", "POSTGRESQL_PASSWORD": "app", "POSTGRESQL_DATABASE": "d"}, "postgres://app:app@h:5432", ""},
		{"Red Hat's administrator", map[string]string{"POSTGRESQL_USER": "app", "POSTGRESQL_PASSWORD": "app", "POSTGRESQL_ADMIN_PASSWORD": "super"}, "postgres://postgres:super@h:5432", ""},
		{"no password", map[string]string{"POSTGRES_USER": "nova"}, "", AnnotationURLSecret},
		{"nothing", nil, "", AnnotationURLSecret},
		{"a file that does not exist", map[string]string{"POSTGRES_PASSWORD_FILE": "/nowhere"}, "", "POSTGRES_PASSWORD_FILE"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			getenv := func(name string) string {
				own, ok := strings.CutPrefix(name, ServerEnvPrefix)
				if !ok {
					t.Errorf("reads %s", name)
				}
				return c.env[own]
			}
			readFile := func(name string) ([]byte, error) {
				if content, ok := files[name]; ok {
					return []byte(content), nil
				}
				return nil, errors.New("no such file")
			}
			got, err := ServerURL("h:5432", getenv, readFile)
			if got != c.want || c.error == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.error) {
				t.Errorf("got %q, %v; want %q, %q", got, err, c.want, c.error)
			}
			if err == nil && variable(t, EnvDatabaseURL).Check(got) != nil {
				t.Errorf("%q is no %s", got, EnvDatabaseURL)
			}
			sets := false
			for name := range c.env {
				sets = sets || SetsPassword(name)
			}
			if sets != (c.error != AnnotationURLSecret) {
				t.Errorf("SetsPassword is %t for %v", sets, c.env)
			}
		})
	}
}
