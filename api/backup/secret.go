package backup

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// SecretEnvPrefix is the prefix of the variables that hold the values of a Secret's
// keys, as [SecretVariable] names them.
const SecretEnvPrefix = "SECRET_KEY_"

// The parts of a connection that keys of a Secret may hold.
const (
	PartUser     = "user"
	PartPassword = "password"
	PartHost     = "host"
	PartPort     = "port"
)

// Parts returns the keys by the part of a connection that they hold, nil if one key
// holds the whole URL. It is for [Request.URLSecret] only.
func (s SecretKey) Parts() map[string]string {
	if !strings.Contains(s.Key, "=") {
		return nil
	}
	parts := map[string]string{}
	for _, pair := range strings.Split(s.Key, ",") {
		part, key, _ := strings.Cut(pair, "=")
		parts[part] = key
	}
	return parts
}

// The parts of a connection that only [SecretURL] knows.
const (
	partURL      = "url"
	partDatabase = "database"
	partEngine   = "engine"
)

// connectionKeys are the keys of Secrets that describe a connection, by their meaning:
// those of AWS Secrets Manager, CloudNativePG, the Zalando operator, Crunchy's operator,
// Crossplane and the Service Binding specification.
var connectionKeys = []struct {
	part string
	keys []string // the first that is set is used
}{
	{partURL, []string{"url", "uri", "DATABASE_URL"}},
	{PartUser, []string{"username", "user"}},
	{PartPassword, []string{"password"}},
	{PartHost, []string{"host", "endpoint"}},
	{PartPort, []string{"port"}},
	{partDatabase, []string{"dbname", "database"}},
	{partEngine, []string{"engine"}},
}

// ConnectionKeys returns the keys of a Secret that [SecretURL] reads.
func ConnectionKeys() (keys []string) {
	for _, c := range connectionKeys {
		keys = append(keys, c.keys...)
	}
	return keys
}

// EngineKey is the key of a Secret that names the database system.
const EngineKey = "engine"

// SecretVariable returns the variable that holds the value of a Secret's key.
func SecretVariable(key string) string { return SecretEnvPrefix + strings.ToUpper(key) }

// CheckSecretKeys returns an error if a Secret with these keys describes no connection.
// address reports whether the host is known from elsewhere.
func CheckSecretKeys(present []string, address bool) error {
	has := func(part string) bool {
		return slices.ContainsFunc(keysOf(part), func(key string) bool { return slices.Contains(present, key) })
	}
	if has(partURL) {
		return nil
	}
	var missing []string
	for _, part := range []string{PartUser, PartPassword, PartHost} {
		if !has(part) && (part != PartHost || !address) {
			missing = append(missing, strings.Join(keysOf(part), " or "))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the Secret has no key %s, and no key %s: name others with %s", strings.Join(missing, ", "), strings.Join(keysOf(partURL), " or "), AnnotationURLSecret)
}

func keysOf(part string) []string {
	for _, c := range connectionKeys {
		if c.part == part {
			return c.keys
		}
	}
	return nil
}

// CheckSecretEngine returns an error if the value of [EngineKey] names another database
// system. AWS writes postgres and aurora-postgresql.
func CheckSecretEngine(value string) error {
	if value == "" || strings.Contains(strings.ToLower(value), "postgres") {
		return nil
	}
	return fmt.Errorf("the Secret's engine is %q, not PostgreSQL", value)
}

// Labels of the Secrets and pods of operators.
const (
	LabelCNPGCluster    = "cnpg.io/cluster"
	LabelZalandoCluster = "cluster-name"
	LabelApplication    = "application"
	ApplicationSpilo    = "spilo"
)

// OperatedCluster returns the operator's resource, CloudNativePG's Cluster or Zalando's
// postgresql, that an object with these labels belongs to.
func OperatedCluster(labels map[string]string) (kind, name string) {
	switch {
	case labels[LabelCNPGCluster] != "":
		return "Cluster", labels[LabelCNPGCluster]
	case labels[LabelApplication] == ApplicationSpilo && labels[LabelZalandoCluster] != "":
		return "postgresql", labels[LabelZalandoCluster]
	}
	return "", ""
}

// SecretAddress returns host:port of the server of a Secret that holds only a login,
// as its labels say it, "" if they do not. The Zalando operator names the Service of the
// primary like the cluster.
func SecretAddress(namespace string, labels map[string]string) string {
	if kind, name := OperatedCluster(labels); kind == "postgresql" {
		return net.JoinHostPort(name+"."+namespace+".svc", strconv.Itoa(PostgresPort))
	}
	return ""
}

// SecretURL returns the DATABASE_URL that the values of a Secret's keys describe, which
// getenv returns by [SecretVariable]. address is host:port for a Secret without a host,
// "" if there is none. No error contains a value.
func SecretURL(secret, address string, getenv func(string) string) (string, error) {
	value := func(part string) string {
		for _, key := range keysOf(part) {
			if v := strings.TrimRight(getenv(SecretVariable(key)), "\r\n"); v != "" {
				return v
			}
		}
		return ""
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("read Secret %s: %w", secret, err) }
	if err := CheckSecretEngine(value(partEngine)); err != nil {
		return fail(err)
	}
	if given := value(partURL); given != "" {
		if checkDatabaseURL(given) != nil {
			return fail(errors.New("its URL is not postgres://user:password@host:port/database"))
		}
		return strings.TrimSuffix(given, "/*"), nil // CloudNativePG's superuser: every database
	}
	if address = secretAddress(value(PartHost), value(PartPort), address); address == "" {
		return fail(fmt.Errorf("it names no host: it needs a key %s, or %s names one", strings.Join(keysOf(PartHost), " or "), AnnotationURLSecret))
	}
	user, password := value(PartUser), value(PartPassword)
	if user == "" || password == "" {
		return fail(fmt.Errorf("it names no login: it needs the keys %s and %s, or %s names others", strings.Join(keysOf(PartUser), " or "), PartPassword, AnnotationURLSecret))
	}
	result := "postgres://" + escapeLogin(user) + ":" + escapeLogin(password) + "@" + address
	if database := value(partDatabase); database != "" && database != "*" {
		result += "/" + url.PathEscape(database)
	}
	return result, nil
}

// secretAddress returns host:port. The parts of the Secret win over the known address.
func secretAddress(host, port, known string) string {
	knownHost, knownPort, _ := net.SplitHostPort(known)
	if h, p, err := net.SplitHostPort(host); err == nil { // host:port in one key
		host, knownPort = h, p
	}
	if host == "" {
		host = knownHost
	}
	for _, candidate := range []string{port, knownPort, strconv.Itoa(PostgresPort)} {
		if candidate != "" && host != "" {
			return net.JoinHostPort(strings.Trim(host, "[]"), candidate)
		}
	}
	return ""
}
