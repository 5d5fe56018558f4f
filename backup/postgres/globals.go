package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/sqltext"
)

// maxGlobals bounds the text of roles and tablespaces, in bytes.
const maxGlobals = 64 << 20

// Globals implements [backup.Target]. The text comes from a bucket: it is split into
// statements, and only those that pg_dumpall writes are written anew and run, one at a
// time. Roles and tablespaces that exist are left as they are.
func (t *Target) Globals(ctx context.Context, sql io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(sql, maxGlobals+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxGlobals {
		return nil, backup.Fail(backupapi.CategoryVerify, fmt.Errorf("read roles: more than %d bytes", maxGlobals))
	}
	statements, err := sqltext.Split(string(text))
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryVerify, fmt.Errorf("read roles: %w", err))
	}
	conn, err := open(ctx, t.Address, t.Address.maintenance())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	g := &globals{target: t, conn: conn, created: map[string]bool{}, createdTablespaces: map[string]bool{}}
	if err := g.readExisting(ctx); err != nil {
		return nil, err
	}
	for _, s := range statements {
		if err := g.apply(ctx, s); err != nil {
			return g.warnings, err
		}
	}
	return g.warnings, nil
}

// globals makes the roles and tablespaces of a backup that a server does not have.
type globals struct {
	target      *Target
	conn        *pgx.Conn
	roles       map[string]map[string]string // those that exist, with their attributes
	tablespaces map[string]bool
	created     map[string]bool // roles that this restore made

	createdTablespaces map[string]bool
	warnings           []string
}

func (g *globals) warn(format string, args ...any) {
	g.warnings = append(g.warnings, fmt.Sprintf(format, args...))
}

func (g *globals) readExisting(ctx context.Context) error {
	rows, err := g.conn.Query(ctx, `
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit
FROM pg_catalog.pg_roles`)
	if err != nil {
		return classify(err)
	}
	g.roles = map[string]map[string]string{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (_ struct{}, err error) {
		var name string
		var flags [7]bool
		var limit int
		err = row.Scan(&name, &flags[0], &flags[1], &flags[2], &flags[3], &flags[4], &flags[5], &flags[6], &limit)
		attributes := map[string]string{"CONNECTION LIMIT": strconv.Itoa(limit)}
		for i, flag := range flags {
			attributes[roleFlags[i]] = map[bool]string{true: roleFlags[i], false: "NO" + roleFlags[i]}[flag]
		}
		g.roles[name] = attributes
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("list roles: %w", classify(err))
	}
	names, err := collect(ctx, g.conn, "SELECT spcname FROM pg_catalog.pg_tablespace")
	g.tablespaces = map[string]bool{}
	for _, name := range names {
		g.tablespaces[name] = true
	}
	return err
}

// roleFlags are the attributes of a role that are on or off.
var roleFlags = []string{"SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS"}

// apply runs one statement, if it is one that pg_dumpall writes and makes something new.
func (g *globals) apply(ctx context.Context, s sqltext.Statement) error {
	switch {
	case s.Begins("SET"): // of the session, which has its own
		return nil
	case s.Begins("CREATE", "ROLE") && len(s) == 3 && s[2].IsName():
		return g.createRole(ctx, s)
	case s.Begins("ALTER", "ROLE") && len(s) > 4 && s[2].IsName() && s[3].Is("WITH"):
		return g.alterRole(ctx, s)
	case s.Begins("ALTER", "ROLE") && len(s) > 5 && s[2].IsName() && s[3].Is("SET") && s[4].IsName() && s[5].Is("TO"),
		s.Begins("COMMENT", "ON", "ROLE") && len(s) == 6:
		return g.ifCreated(ctx, s, roleNamed(s))
	case s.Begins("GRANT") && len(s) >= 4 && s[1].IsName() && s[2].Is("TO"):
		return g.ifCreated(ctx, s, s[3])
	case g.target.NoTablespaces && contains(s, "TABLESPACE"):
		return nil
	case s.Begins("CREATE", "TABLESPACE") && len(s) == 7 && s[2].IsName() && s[3].Is("OWNER") && s[5].Is("LOCATION") && s[6].Kind == sqltext.String:
		return g.createTablespace(ctx, s)
	case s.Begins("ALTER", "TABLESPACE") && len(s) > 4 && s[2].IsName() && s[3].Is("SET"),
		s.Begins("COMMENT", "ON", "TABLESPACE") && len(s) == 6,
		(s.Begins("GRANT") || s.Begins("REVOKE")) && containsPair(s, "ON", "TABLESPACE"):
		return g.ifTablespaceCreated(ctx, s)
	case s.Begins("GRANT") && containsPair(s, "ON", "PARAMETER"):
		return g.ifCreated(ctx, s, grantee(s))
	}
	g.warn("not restored: the statement does not create a role or a tablespace: %s", shorten(s.SQL()))
	return nil
}

func roleNamed(s sqltext.Statement) sqltext.Token {
	if s.Begins("COMMENT") {
		return s[3]
	}
	return s[2]
}

func contains(s sqltext.Statement, word string) bool {
	for _, t := range s {
		if t.Kind == sqltext.Word && t.Is(word) {
			return true
		}
	}
	return false
}

func containsPair(s sqltext.Statement, one, two string) bool {
	for i := range len(s) - 1 {
		if s[i].Is(one) && s[i+1].Is(two) {
			return true
		}
	}
	return false
}

// run runs a statement that was written anew. What the server refuses is a warning.
func (g *globals) run(ctx context.Context, s sqltext.Statement) error {
	_, err := g.conn.Exec(ctx, s.SQL())
	if ctx.Err() != nil || g.conn.IsClosed() {
		return errors.Join(ctx.Err(), classify(err))
	}
	if err != nil {
		g.warn("not restored: %s: %v", shorten(withoutPassword(s).SQL()), err)
	}
	return nil
}

func (g *globals) ifCreated(ctx context.Context, s sqltext.Statement, role sqltext.Token) error {
	if !g.created[role.Name()] {
		return nil
	}
	return g.run(ctx, s)
}

// ifTablespaceCreated runs a statement about a tablespace that this restore created: one
// that exists is left as it is.
func (g *globals) ifTablespaceCreated(ctx context.Context, s sqltext.Statement) error {
	for i, t := range s[:len(s)-1] {
		if t.Is("TABLESPACE") {
			if !g.createdTablespaces[s[i+1].Name()] {
				return nil
			}
			return g.run(ctx, s)
		}
	}
	return nil
}

// grantee returns the role of GRANT … TO role, which may be followed by WITH GRANT OPTION.
func grantee(s sqltext.Statement) sqltext.Token {
	for i, t := range s[:len(s)-1] {
		if t.Is("TO") {
			return s[i+1]
		}
	}
	return sqltext.Token{}
}

func (g *globals) createRole(ctx context.Context, s sqltext.Statement) error {
	name := s[2].Name()
	if _, exists := g.roles[name]; exists {
		return nil // alterRole compares it
	}
	before := len(g.warnings)
	err := g.run(ctx, s)
	g.created[name] = err == nil && len(g.warnings) == before
	return err
}

// alterRole gives a new role its attributes, and the password only if that was asked
// for. A role that exists is compared.
func (g *globals) alterRole(ctx context.Context, s sqltext.Statement) error {
	name := s[2].Name()
	if g.created[name] {
		if !g.target.RolePasswords {
			s = withoutPassword(s)
		}
		if len(s) == 4 {
			return nil
		}
		return g.run(ctx, s)
	}
	if exists, known := g.roles[name]; known {
		if differences := compareRole(exists, s[4:]); len(differences) > 0 {
			g.warn("role %s exists and is left as it is; in the backup it has %s", sqltext.Quote(name), strings.Join(differences, ", "))
		}
	}
	return nil
}

func compareRole(exists map[string]string, attributes sqltext.Statement) (differences []string) {
	for i, t := range attributes {
		name := strings.ToUpper(t.Text)
		if t.Is("CONNECTION") && i+2 < len(attributes) {
			if limit := attributes[i+2].Text; limit != exists["CONNECTION LIMIT"] && limit != "-" {
				differences = append(differences, "CONNECTION LIMIT "+limit)
			}
		}
		if now := exists[strings.TrimPrefix(name, "NO")]; t.Kind == sqltext.Word && now != "" && now != name {
			differences = append(differences, name)
		}
	}
	return differences
}

func withoutPassword(s sqltext.Statement) (without sqltext.Statement) {
	for i := 0; i < len(s); i++ {
		if s[i].Is("PASSWORD") {
			i++
			continue
		}
		without = append(without, s[i])
	}
	return without
}

// createTablespace makes a tablespace where it was, or where it is mapped to.
func (g *globals) createTablespace(ctx context.Context, s sqltext.Statement) error {
	name := s[2].Name()
	if g.tablespaces[name] {
		return nil
	}
	location, mapped := g.target.TablespaceMap[name]
	if g.target.TablespaceFolder != "" {
		folder, err := g.target.newTablespaceFolder(len(g.tablespaces))
		if err != nil {
			return err
		}
		location, mapped = folder, true
	}
	if mapped {
		s = append(s[:6:6], sqltext.Token{Kind: sqltext.String, Text: location})
	}
	before := len(g.warnings)
	err := g.run(ctx, s)
	g.tablespaces[name], g.createdTablespaces[name] = true, err == nil && len(g.warnings) == before
	return err
}

// newTablespaceFolder makes a folder that belongs to the owner of the parent folder.
func (t *Target) newTablespaceFolder(n int) (string, error) {
	folder := filepath.Join(t.TablespaceFolder, "tablespace-"+strconv.Itoa(n))
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for a tablespace: %w", err)
	}
	_, err := unprivileged(folder)
	return folder, err
}

func shorten(text string) string {
	const limit = 200
	if len(text) > limit {
		return text[:limit] + "…"
	}
	return text
}
