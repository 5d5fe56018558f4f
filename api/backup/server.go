package backup

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ServerEnvPrefix is the prefix under which pg-backup gets the environment of the
// PostgreSQL container that it backs up. With [EnvServerAddress] it replaces
// DATABASE_URL: the container's own settings say who may connect.
const ServerEnvPrefix = "SERVER_ENV_"

// serverLogin is one way in which images are told a user and a password.
type serverLogin struct {
	user      string   // a fixed user; "" if a variable names it
	variables []string // that name the user
	password  []string // variables; each may end in _FILE and name a file instead
}

// serverLogins are those of the official image, of Bitnami's and of Red Hat's. A
// superuser comes first: only it can dump every database.
var serverLogins = []serverLogin{
	{user: "postgres", password: []string{"POSTGRESQL_POSTGRES_PASSWORD", "POSTGRES_POSTGRES_PASSWORD", "POSTGRESQL_ADMIN_PASSWORD"}},
	{variables: []string{"POSTGRES_USER", "POSTGRESQL_USERNAME", "POSTGRESQL_USER"}, password: []string{"POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"}},
}

// serverWithoutPassword are variables that let everyone connect, by value.
var serverWithoutPassword = map[string]string{"POSTGRES_HOST_AUTH_METHOD": "trust", "ALLOW_EMPTY_PASSWORD": "yes"}

const (
	defaultServerUser = "postgres"
	fileSuffix        = "_FILE"
)

// ServerVariables returns the names of the variables of PostgreSQL images that
// [ServerURL] reads.
func ServerVariables() (names []string) {
	for _, login := range serverLogins {
		for _, name := range append(append([]string(nil), login.variables...), login.password...) {
			names = append(names, name, name+fileSuffix)
		}
	}
	for name := range serverWithoutPassword {
		names = append(names, name)
	}
	return names
}

// SetsPassword reports whether a variable gives a PostgreSQL image a password, or
// lets everyone connect without one.
func SetsPassword(name string) bool {
	if _, ok := serverWithoutPassword[name]; ok {
		return true
	}
	for _, login := range serverLogins {
		for _, password := range login.password {
			if name == password || name == password+fileSuffix {
				return true
			}
		}
	}
	return false
}

// errNoServerPassword says what pg-backup did not find.
var errNoServerPassword = errors.New("the environment of the PostgreSQL container holds no password: set " + AnnotationURLSecret)

// ServerURL returns the DATABASE_URL of a server from its address and the environment
// of its container, which getenv returns with [ServerEnvPrefix]. readFile reads the
// files that variables name.
func ServerURL(address string, getenv func(string) string, readFile func(string) ([]byte, error)) (string, error) {
	value := func(names []string) (string, error) {
		for _, name := range names {
			if v := getenv(ServerEnvPrefix + name); v != "" {
				return v, nil
			}
			file := getenv(ServerEnvPrefix + name + fileSuffix)
			if file == "" {
				continue
			}
			content, err := readFile(file)
			if err != nil {
				return "", fmt.Errorf("read the file of %s: %w", name+fileSuffix, err)
			}
			return strings.TrimRight(string(content), "\r\n"), nil // as the images' shells do
		}
		return "", nil
	}
	for _, login := range serverLogins {
		password, err := value(login.password)
		if err != nil {
			return "", err
		}
		user, err := value(login.variables)
		if err != nil {
			return "", err
		}
		switch {
		case login.user != "":
			user = login.user
		case user == "":
			user = defaultServerUser
		}
		if password != "" {
			return "postgres://" + escapeLogin(user) + ":" + escapeLogin(password) + "@" + address, nil
		}
		if login.user == "" && withoutPassword(getenv) {
			return "postgres://" + escapeLogin(user) + "@" + address, nil
		}
	}
	return "", errNoServerPassword
}

func withoutPassword(getenv func(string) string) bool {
	for name, value := range serverWithoutPassword {
		if strings.EqualFold(getenv(ServerEnvPrefix+name), value) {
			return true
		}
	}
	return false
}

// escapeLogin escapes every character that ends a part of a URL.
func escapeLogin(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
