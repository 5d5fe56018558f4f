package postgres

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/sqltext"
)

// ApplyProperties implements [backup.Target].
func (t *Target) ApplyProperties(ctx context.Context, database string, p backup.Properties) (warnings []string, err error) {
	conn, err := open(ctx, t.Address, t.Address.maintenance())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := removeUnfinishedMark(ctx, conn, database); err != nil {
		return nil, err
	}
	statements, refused := t.propertyStatements(database, p)
	for _, text := range refused {
		warnings = append(warnings, "not restored: a property that this version did not write: "+shorten(text))
	}
	for _, statement := range statements {
		_, err := conn.Exec(ctx, statement)
		if ctx.Err() != nil {
			return warnings, ctx.Err()
		}
		if err != nil {
			warnings = append(warnings, "not restored: "+shorten(statement)+": "+err.Error())
		}
	}
	return warnings, nil
}

// propertyStatements writes the SQL of a database's properties, in the order of
// pg_dump --create. It returns what it refuses of old manifests.
func (t *Target) propertyStatements(database string, p backup.Properties) (statements, refused []string) {
	add := func(words ...string) { statements = append(statements, strings.Join(words, " ")) }
	name := quoted(database)
	if !t.NoOwner && p.Owner != "" {
		add("ALTER DATABASE", name, "OWNER TO", quoted(p.Owner))
	}
	if p.Comment != "" {
		add("COMMENT ON DATABASE", name, "IS", literal(p.Comment))
	}
	for _, c := range p.Config {
		if c.Role == "" {
			add("ALTER DATABASE", name, "SET", quoted(c.Name), "TO", configValue(c))
		} else {
			add("ALTER ROLE", quoted(c.Role), "IN DATABASE", name, "SET", quoted(c.Name), "TO", configValue(c))
		}
	}
	if !t.NoPrivileges && p.Access != nil {
		statements = append(statements, accessStatements(name, p)...)
	}
	for _, text := range p.Settings {
		if !writtenBefore.MatchString(text) {
			refused = append(refused, text)
		} else if !t.NoPrivileges || strings.HasPrefix(text, "ALTER") {
			add(strings.Replace(text, `:"database"`, name, 1))
		}
	}
	if p.IsTemplate {
		add("ALTER DATABASE", name, "IS_TEMPLATE true")
	}
	if p.ConnectionLimit != nil {
		add("ALTER DATABASE", name, "CONNECTION LIMIT", strconv.Itoa(*p.ConnectionLimit))
	}
	return statements, refused
}

// accessStatements revokes what a new database has by default and grants what the list
// has. A grant of somebody else than the owner is made as that role.
func accessStatements(name string, p backup.Properties) []string {
	statements := []string{"REVOKE ALL ON DATABASE " + name + " FROM PUBLIC"}
	if p.Owner != "" {
		statements = append(statements, "REVOKE ALL ON DATABASE "+name+" FROM "+quoted(p.Owner))
	}
	for _, a := range *p.Access {
		if !slices.Contains([]string{"CREATE", "CONNECT", "TEMPORARY"}, a.Privilege) {
			continue // the server does not know another
		}
		grantee := "PUBLIC"
		if a.Grantee != "" {
			grantee = quoted(a.Grantee)
		}
		grant := "GRANT " + a.Privilege + " ON DATABASE " + name + " TO " + grantee
		if a.Grantable {
			grant += " WITH GRANT OPTION"
		}
		if a.Grantor != p.Owner {
			statements = append(statements, "SET ROLE "+quoted(a.Grantor), grant, "RESET ROLE")
		} else {
			statements = append(statements, grant)
		}
	}
	return statements
}

// listSettings are the settings that hold lists of names, which the server stores
// quoted (GUC_LIST_QUOTE; variable_is_guc_list_quote of PostgreSQL's dumputils.c).
var listSettings = []string{"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}

// configValue writes the value of a setting. A list is written element by element, for
// one string would be a list of one.
func configValue(c backup.Config) string {
	if !slices.Contains(listSettings, strings.ToLower(c.Name)) {
		return literal(c.Value)
	}
	statements, err := sqltext.Split(c.Value + ";")
	if err != nil || len(statements) != 1 {
		return literal(c.Value)
	}
	var elements []string
	for i, t := range statements[0] {
		if i%2 == 0 && t.IsName() {
			elements = append(elements, literal(t.Name()))
		} else if i%2 == 0 || !t.Is(",") {
			return literal(c.Value)
		}
	}
	return strings.Join(elements, ", ")
}

// writtenBefore matches the statements that earlier versions wrote into a manifest, and
// nothing else.
var writtenBefore = func() *regexp.Regexp {
	const name = `(?:[a-z_\x{80}-\x{10ffff}][a-z0-9_\x{80}-\x{10ffff}]*|"(?:[^"]|"")+")`
	const value = `(?:'(?:[^']|'')*'|E'(?:[^'\\]|''|\\\\)*'|` + name + `)`
	return regexp.MustCompile(`^(?s:ALTER (?:DATABASE :"database"|ROLE ` + name + ` IN DATABASE :"database") SET ` + name + ` TO ` + value + `(?:, ?` + value + `)*` +
		`|REVOKE ALL ON DATABASE :"database" FROM PUBLIC` +
		`|GRANT [A-Z]+ ON DATABASE :"database" TO ` + name + `(?: WITH GRANT OPTION)?|GRANT [A-Z]+ ON DATABASE :"database" TO PUBLIC(?: WITH GRANT OPTION)?)$`)
}()
