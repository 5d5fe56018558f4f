// Package postgres is the adapter to PostgreSQL: it finds PostgreSQL's programs, takes
// snapshots, runs pg_dump, pg_dumpall and pg_restore, copies the rows of large tables, and
// starts scratch servers. pg_dump writes all of an archive but those rows. It never runs
// psql.
package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Address is the address of a server and the parameters of a login.
type Address struct {
	Host, Port, User, Password string
	Database                   string // "" is the whole server
	parameters                 map[string]string
	serverMonetary             bool // leave lc_monetary to the server
}

// parameterVariables maps the parameters that a URL can have to libpq's variables. Other
// parameters are refused: a misspelt sslmode must not be ignored.
var parameterVariables = map[string]string{
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"sslcrl": "PGSSLCRL", "sslsni": "PGSSLSNI", "sslnegotiation": "PGSSLNEGOTIATION",
	"ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "channel_binding": "PGCHANNELBINDING",
	"gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "require_auth": "PGREQUIREAUTH",
	"connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS",
	"application_name": "PGAPPNAME", "options": "PGOPTIONS", "passfile": "PGPASSFILE", "service": "PGSERVICE",
	"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE",
}

// afterUser matches the part of a URL after the password: hosts, a database, parameters.
var afterUser = regexp.MustCompile(`^([^/?#@]*)(?:/([^?#@/]*))?(?:\?([^#@]*))?$`)

// ParseAddress reads a URL. The password may hold any character, encoded or not:
// it ends at the last @. An @ in a parameter must therefore be encoded. Errors
// show nothing of the URL.
func ParseAddress(text string) (Address, error) {
	rest, ok := strings.CutPrefix(text, "postgres://")
	if !ok {
		if rest, ok = strings.CutPrefix(text, "postgresql://"); !ok {
			return Address{}, errors.New("the URL begins with neither postgres:// nor postgresql://")
		}
	}
	a := Address{parameters: map[string]string{}}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		a.User, a.Password, _ = strings.Cut(rest[:at], ":")
		if _, err := url.PathUnescape(rest); err == nil { // else both are meant as they are written
			a.User, a.Password = decode(a.User), decode(a.Password)
		}
		rest = rest[at+1:]
	}
	m := afterUser.FindStringSubmatch(rest)
	if m == nil {
		return Address{}, errors.New("the URL is not postgres://user:password@host:port/database?parameters")
	}
	a.Host, a.Port = splitHosts(m[1])
	a.Database = decode(m[2])
	return a, a.addParameters(m[3])
}

func (a *Address) addParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the URL's parameters are malformed")
	}
	for name, value := range values {
		if parameterVariables[name] == "" {
			return fmt.Errorf("the URL has a parameter %q that is not known", name)
		}
		into := map[string]*string{"host": &a.Host, "port": &a.Port, "user": &a.User, "password": &a.Password, "dbname": &a.Database}[name]
		if into != nil {
			*into = value[0]
			continue
		}
		a.parameters[name] = value[0]
	}
	return nil
}

// decode resolves percent-encoding. A text that is not valid percent-encoding stays as it
// is.
func decode(text string) string {
	if decoded, err := url.PathUnescape(text); err == nil {
		return decoded
	}
	return text
}

// splitHosts splits host:port,host:port into libpq's two lists.
func splitHosts(text string) (hosts, ports string) {
	if text == "" {
		return "", ""
	}
	var h, p []string
	for _, one := range strings.Split(text, ",") {
		host, port := one, ""
		if colon := strings.LastIndex(one, ":"); colon > strings.LastIndex(one, "]") {
			host, port = one[:colon], one[colon+1:]
		}
		h, p = append(h, decode(strings.Trim(host, "[]"))), append(p, port)
	}
	return strings.Join(h, ","), strings.TrimRight(strings.Join(p, ","), ",")
}

// environment returns the variables with which libpq's programs reach a database of a
// server of a major version. Nothing of it is ever an argument: every process can read
// arguments.
func (a Address) environment(database string, major int) []string {
	env := []string{"LC_ALL=C", "PGDATABASE=" + database}
	add := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	add("PGHOST", a.Host)
	add("PGPORT", a.Port)
	add("PGUSER", a.User)
	add("PGPASSWORD", a.password(database, major))
	for name, value := range a.parameters {
		if name != "options" {
			add(parameterVariables[name], value)
		}
	}
	add("PGOPTIONS", options(a.settings(), major, a.parameters["options"]))
	if a.parameters["application_name"] == "" {
		add("PGAPPNAME", applicationName)
	}
	slices.Sort(env)
	return env
}

// password returns the password, read from the password file if it is there. libpq would
// refuse a file that other users can read, as files of mounted Secrets are. With several
// hosts, each with a password of its own, libpq has to read the file.
func (a Address) password(database string, major int) string {
	if a.Password != "" || a.parameters["passfile"] == "" || strings.Contains(a.Host, ",") {
		return a.Password
	}
	config, err := a.config(database, major)
	if err != nil {
		return ""
	}
	return config.Password
}

const applicationName = "pg-backup"

// config returns the same connection for pgx.
func (a Address) config(database string, major int) (*pgx.ConnConfig, error) {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)+"'")
		}
	}
	add("host", a.Host)
	add("port", a.Port)
	add("user", a.User)
	add("password", a.Password)
	add("dbname", database)
	for name, value := range a.parameters {
		if !slices.Contains([]string{"gssencmode", "sslcrl", "require_auth", "options"}, name) { // libpq's alone, but for options
			add(name, value)
		}
	}
	add("options", options(a.settings(), major, a.parameters["options"]))
	if a.parameters["application_name"] == "" {
		add("application_name", applicationName)
	}
	config, err := pgx.ParseConfig(strings.Join(words, " "))
	if err != nil {
		return nil, errors.New("the URL is not understood: check sslmode, certificate files and port")
	}
	return config, nil
}

// maintenance returns the database that sessions for the whole server connect to.
func (a Address) maintenance() string {
	if a.Database != "" {
		return a.Database
	}
	return "postgres"
}
