package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// Target is a server to restore into; see [backup.Target].
type Target struct {
	Address Address
	Folders []string // where to look for clients
	Major   int      // of the backup: its clients read it
	// ServerMonetaryLocale leaves lc_monetary as the server has it: for backups that
	// were dumped before pg-backup pinned it.
	ServerMonetaryLocale bool
	// RolePasswords gives the roles that are made the passwords of the backup.
	RolePasswords bool
	// NoTablespaces restores everything into the default tablespace. TablespaceMap has
	// other locations, by the tablespace's name; TablespaceFolder is where each gets a
	// folder of its own, whatever its location was.
	NoTablespaces    bool
	TablespaceMap    map[string]string
	TablespaceFolder string
	// NoOwner leaves everything to the role that restores, NoPrivileges leaves out
	// grants.
	NoOwner, NoPrivileges bool
}

// Create implements [backup.Target].
func (t *Target) Create(ctx context.Context, database string, p backup.Properties) error {
	conn, err := open(ctx, t.Address, t.Address.maintenance())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if t.NoTablespaces {
		p.Tablespace = ""
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)", database).Scan(&there); err != nil {
		return classify(err)
	}
	if there {
		err = t.mustBeEmpty(ctx, database)
	} else if _, err = conn.Exec(ctx, createDatabase(database, p)); err != nil {
		err = classify(err)
	}
	if err != nil {
		return err
	}
	return markUnfinished(ctx, conn, database)
}

// unfinishedComment is the comment of a database while it is restored: what a restore
// that failed or was killed leaves does not look like a whole database.
const unfinishedComment = "not whole: pg-backup has begun to restore it, and has not ended"

// markUnfinished comments on a database that has no comment of its own.
func markUnfinished(ctx context.Context, conn *pgx.Conn, database string) error {
	comment, err := commentOn(ctx, conn, database)
	if err != nil || comment != "" {
		return err
	}
	_, err = conn.Exec(ctx, "COMMENT ON DATABASE "+quoted(database)+" IS "+literal(unfinishedComment))
	if err != nil && !isCode(err, "42501") { // insufficient_privilege: the database was there and is another's
		return classify(err)
	}
	return nil
}

func removeUnfinishedMark(ctx context.Context, conn *pgx.Conn, database string) error {
	comment, err := commentOn(ctx, conn, database)
	if err != nil || comment != unfinishedComment {
		return err
	}
	if _, err := conn.Exec(ctx, "COMMENT ON DATABASE "+quoted(database)+" IS NULL"); err != nil {
		return classify(err)
	}
	return nil
}

func commentOn(ctx context.Context, conn *pgx.Conn, database string) (comment string, err error) {
	err = conn.QueryRow(ctx, "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_catalog.pg_database WHERE datname = $1", database).Scan(&comment)
	if err != nil {
		return "", classify(err)
	}
	return comment, nil
}

func createDatabase(database string, p backup.Properties) string {
	sql := fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s",
		quoted(database), literal(p.Encoding), literal(p.Collate), literal(p.CType))
	switch p.Provider {
	case "icu":
		sql += " LOCALE_PROVIDER icu ICU_LOCALE " + literal(p.Locale)
		if p.ICURules != "" {
			sql += " ICU_RULES " + literal(p.ICURules)
		}
	case "builtin":
		sql += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + literal(p.Locale)
	}
	if p.Tablespace != "" {
		sql += " TABLESPACE " + quoted(p.Tablespace)
	}
	return sql
}

// mustBeEmpty looks for anything that a user made.
func (t *Target) mustBeEmpty(ctx context.Context, database string) error {
	conn, err := open(ctx, t.Address, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var objects int
	err = conn.QueryRow(ctx, `
SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE oid >= 16384 AND relpersistence <> 't')
     + (SELECT count(*) FROM pg_catalog.pg_proc WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_catalog.pg_type WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata)
     + (SELECT count(*) FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspname NOT LIKE 'pg\_%')`).Scan(&objects)
	if err != nil {
		return classify(err)
	}
	if objects > 0 {
		return backup.Fail(backupapi.CategoryRefused, fmt.Errorf("%s: %w: restore into a new one", database, backup.ErrNotEmpty))
	}
	return nil
}

// Restore implements [backup.Target].
func (t *Target) Restore(ctx context.Context, job backup.Job, from io.Reader) error {
	return t.restore(ctx, job, 1, from, nil)
}

// RestoreHead implements [backup.Target].
func (t *Target) RestoreHead(ctx context.Context, job backup.Job, head []byte, atATime int) error {
	if job.Entries != nil && len(job.Entries) == 0 {
		return nil // an empty list, which pg_restore takes for nothing as well
	}
	file, err := inMemory("head", head)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if job.Section == backup.PreData { // definitions are made one after the other anyway
		atATime = 1
	}
	return t.restore(ctx, job, atATime, nil, file)
}

// restore runs pg_restore on a stream, or on a file in memory.
func (t *Target) restore(ctx context.Context, job backup.Job, atATime int, from io.Reader, file *os.File) error {
	clients, err := FindClients(ctx, t.Folders, "pg_restore", t.Major)
	if err != nil {
		return err
	}
	args := []string{"--no-password", "--exit-on-error", "--section=" + job.Section, "--dbname=" + connectionWord(job.Database)}
	for flag, set := range map[string]bool{"--no-owner": t.NoOwner, "--no-privileges": t.NoPrivileges, "--no-tablespaces": t.NoTablespaces} {
		if set {
			args = append(args, flag)
		}
	}
	var files []*os.File
	inherit := func(f *os.File) string {
		files = append(files, f)
		return fmt.Sprintf("/proc/self/fd/%d", 2+len(files))
	}
	if job.Entries != nil {
		list, err := inMemory("entries", entryList(job.Entries))
		if err != nil {
			return err
		}
		defer func() { _ = list.Close() }()
		args = append(args, "--use-list="+inherit(list))
	}
	if file != nil {
		args = append(args, "--jobs="+strconv.Itoa(atATime), inherit(file))
	}
	session := t.withSession(max(1, job.Workers/atATime), job.Bytes)
	cmd := command(ctx, clients.program("pg_restore"), session.environment(job.Database, t.Major), args...)
	cmd.ExtraFiles = files
	if from == nil {
		from = strings.NewReader("")
	}
	return feed(cmd, from)
}

// Check has pg_restore read an archive and restore nothing.
func (t *Target) Check(ctx context.Context, from io.Reader) error {
	clients, err := FindClients(ctx, t.Folders, "pg_restore", t.Major)
	if err != nil {
		return err
	}
	return feed(command(ctx, clients.program("pg_restore"), nil, "--file=/dev/null"), from)
}

// inMemory makes a file that is on no disk: a restore needs none either.
func inMemory(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	if _, err := file.Write(content); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	return file, nil
}

// entryList is what pg_restore --use-list reads: numbers, one a line.
func entryList(entries []int) []byte {
	var out strings.Builder
	for _, id := range entries {
		fmt.Fprintf(&out, "%d;\n", id)
	}
	return []byte(out.String())
}

// connectionWord names a database so that it is never read as parameters.
func connectionWord(database string) string {
	return "dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database) + "'"
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
