package postgres

import (
	"slices"
	"strconv"
	"strings"
)

// setting is a parameter of a session.
type setting struct {
	name, value string
	since       int // the first major version that has it; 0 is every supported one
}

// pinned lists the parameters that every session of pg-backup sets for itself. Roles,
// databases and servers may set them to anything (their context is "user"), and they
// change what a dump contains, what a restore makes of it, or whether either works.
// What a client asks for when it connects has precedence over all of those.
var pinned = []setting{
	// The text of values.
	{name: "client_encoding", value: "UTF8"}, // a dump has its own
	{name: "DateStyle", value: "ISO"},
	{name: "IntervalStyle", value: "postgres"},
	{name: "TimeZone", value: "UTC"},
	{name: "bytea_output", value: "hex"},
	{name: "xmlbinary", value: "base64"},
	{name: "xmloption", value: "content"},
	{name: "lc_monetary", value: monetaryLocale},
	{name: "extra_float_digits", value: "3"},
	{name: "array_nulls", value: "on"},
	// How SQL is read, and written by the server.
	{name: "standard_conforming_strings", value: "on"},
	{name: "escape_string_warning", value: "off"},
	{name: "backslash_quote", value: "safe_encoding"},
	{name: "quote_all_identifiers", value: "off"},
	{name: "transform_null_equals", value: "off"},
	{name: "search_path", value: "pg_catalog"},
	{name: "gin_fuzzy_search_limit", value: "0"},
	// Whether a session works, and as whom.
	{name: "role", value: "none"},
	{name: "exit_on_error", value: "off"},
	{name: "local_preload_libraries", value: ""},
	{name: "default_transaction_isolation", value: "read committed"},
	{name: "default_transaction_read_only", value: "off"},
	{name: "default_transaction_deferrable", value: "off"},
	{name: "default_tablespace", value: ""},
	{name: "temp_tablespaces", value: ""},
	{name: "client_min_messages", value: "warning"},
	{name: "statement_timeout", value: "0"},
	{name: "lock_timeout", value: "0"},
	{name: "idle_in_transaction_session_timeout", value: "0"},
	{name: "idle_session_timeout", value: "0", since: 14},
	{name: "transaction_timeout", value: "0", since: 17},
}

// monetaryLocale is the locale in which values of the type money are dumped. A restore
// reads them in the same one.
const monetaryLocale = "C"

// settings returns the pinned settings of this address.
func (a Address) settings() []setting {
	if !a.serverMonetary {
		return pinned
	}
	return slices.DeleteFunc(slices.Clone(pinned), func(s setting) bool { return s.name == "lc_monetary" })
}

// options writes settings as libpq's parameter of that name, for a server of a major
// version; 0 is one that is not known yet. What the operator asked for comes last and
// so wins.
func options(settings []setting, major int, asked string) string {
	var words []string
	for _, s := range settings {
		if s.since <= major || s.since == 0 {
			words = append(words, "-c "+s.name+"="+strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(s.value))
		}
	}
	if asked != "" {
		words = append(words, asked)
	}
	return strings.Join(words, " ")
}

// assumedMajor is the version whose settings a session asks for when it connects: that
// of the oldest server with a community release.
const assumedMajor = 14

// newerThan lists the settings that came after a major version and that a server has.
func newerThan(major int, serverVersion string) []setting {
	digits := strings.IndexFunc(serverVersion, func(r rune) bool { return r < '0' || r > '9' })
	server, _ := strconv.Atoi(serverVersion[:max(0, digits)])
	return slices.DeleteFunc(slices.Clone(pinned), func(s setting) bool { return s.since <= major || s.since > server })
}
