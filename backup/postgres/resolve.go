package postgres

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
)

// Resolve adds to an address what libpq takes from elsewhere: a service file, the PG…
// variables, a password file and the certificates in the home folder, in libpq's order.
// All sessions and all processes then connect with the one result.
func (a Address) Resolve(getenv func(string) string) (Address, error) {
	a.parameters = maps.Clone(a.parameters)
	if a.parameters == nil {
		a.parameters = map[string]string{}
	}
	if getenv("PGHOSTADDR") != "" {
		return a, errors.New("PGHOSTADDR is set, which pg-backup does not support: name the address in the URL")
	}
	service, err := readService(getenv, or(a.parameters["service"], getenv("PGSERVICE")))
	if err != nil {
		return a, err
	}
	delete(a.parameters, "service")
	for name, value := range service {
		if parameterVariables[name] == "" {
			return a, fmt.Errorf("the service file has a parameter %q that is not known", name)
		}
		a.setIfEmpty(name, value)
	}
	for name, variable := range parameterVariables {
		if name != "dbname" && name != "service" { // no database in the URL is the whole server
			a.setIfEmpty(name, getenv(variable))
		}
	}
	a.addHomeFiles(getenv("HOME"))
	a.setIfEmpty("sslmode", "prefer")
	a.setIfEmpty("port", "5432")
	a.setIfEmpty("host", defaultHost(a.Port))
	if current, err := user.Current(); err == nil {
		a.setIfEmpty("user", current.Username)
	}
	return a, nil
}

func or(one, other string) string {
	if one != "" {
		return one
	}
	return other
}

func (a *Address) field(name string) *string {
	return map[string]*string{"host": &a.Host, "port": &a.Port, "user": &a.User, "password": &a.Password, "dbname": &a.Database}[name]
}

func (a *Address) setIfEmpty(name, value string) {
	if field := a.field(name); field != nil {
		*field = or(*field, value)
	} else if value != "" && a.parameters[name] == "" {
		a.parameters[name] = value
	}
}

// addHomeFiles adds the files that libpq looks for in the home folder. Its programs are
// run without one.
func (a *Address) addHomeFiles(home string) {
	if home == "" {
		return
	}
	for name, file := range map[string]string{
		"passfile": ".pgpass", "sslrootcert": ".postgresql/root.crt", "sslcrl": ".postgresql/root.crl",
		"sslcert": ".postgresql/postgresql.crt", "sslkey": ".postgresql/postgresql.key",
	} {
		path := filepath.Join(home, file)
		if _, err := os.Stat(path); err == nil {
			a.setIfEmpty(name, path)
		}
	}
}

// defaultHost returns the folder of the server's socket: Debian's, else PostgreSQL's
// own; without one, the loopback address.
func defaultHost(port string) string {
	for _, folder := range []string{"/var/run/postgresql", "/tmp"} {
		if _, err := os.Stat(filepath.Join(folder, ".s.PGSQL."+port)); err == nil {
			return folder
		}
	}
	return "localhost"
}

// readService reads one section of the connection service file.
func readService(getenv func(string) string, name string) (map[string]string, error) {
	if name == "" {
		return nil, nil
	}
	path := getenv("PGSERVICEFILE")
	if path == "" {
		path = filepath.Join(getenv("HOME"), ".pg_service.conf")
		if _, err := os.Stat(path); err != nil && getenv("PGSYSCONFDIR") != "" {
			path = filepath.Join(getenv("PGSYSCONFDIR"), "pg_service.conf")
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the service file: %w", err)
	}
	var values map[string]string
	inside := false
	for _, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			if inside = line == "["+name+"]"; inside && values == nil {
				values = map[string]string{}
			}
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && inside && !strings.HasPrefix(line, "#") {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	if values == nil {
		return nil, fmt.Errorf("the service file %s has no service %q", path, name)
	}
	return values, nil
}

// String describes the connection without its password.
func (a Address) String() string {
	words := []string{"host=" + a.Host, "port=" + a.Port, "user=" + a.User}
	for _, name := range slices.Sorted(maps.Keys(a.parameters)) {
		if name != "options" && name != "password" {
			words = append(words, name+"="+a.parameters[name])
		}
	}
	switch {
	case a.Password != "":
		words = append(words, "password=(set)")
	case a.parameters["passfile"] == "":
		words = append(words, "password=(none)")
	}
	return strings.Join(words, " ")
}
