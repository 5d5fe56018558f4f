package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// lockBatch is how many tables one LOCK statement names.
const lockBatch = 500

// lockTables locks every table that the snapshot sees until the snapshot is closed, and
// then checks that none was rewritten between the snapshot and its lock.
//
// TRUNCATE, and every ALTER TABLE that rewrites a table, are not safe for a snapshot
// that was taken before: its rows are in a file that is gone, and those in the new file
// are too young for it. Such a table would be dumped with no rows at all and no error.
// pg_dump has the same gap between its own snapshot and its locks. See decision 0505.
func (s *snapshot) lockTables(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, "SET LOCAL lock_timeout = "+timeLimit(s.source.LockWait)); err != nil {
		return classify(err)
	}
	names, err := collect(ctx, s.conn, `
SELECT format('%I.%I', n.nspname, c.relname) `+lockable+`
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')`, anyEncoding)
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	for len(names) > 0 {
		n := min(len(names), lockBatch)
		if _, err := s.conn.Exec(ctx, "LOCK TABLE ONLY "+strings.Join(names[:n], ", ONLY ")+" IN ACCESS SHARE MODE"); err != nil {
			return fmt.Errorf("lock tables: %w", raceOrClassify(err))
		}
		names = names[n:]
	}
	return s.checkRewritten(ctx)
}

// lockable selects the tables with rows of their own that belong to users.
const lockable = `
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'`

// checkRewritten compares the file of each table as the snapshot sees it (pg_class is
// read with the snapshot) with the one that it has now (the function is not). Locks
// keep both as they are from here on.
func (s *snapshot) checkRewritten(ctx context.Context) error {
	rewritten, err := collect(ctx, s.conn, `
SELECT format('%I.%I', n.nspname, c.relname) `+lockable+`
  AND c.relkind = 'r' AND c.relfilenode <> 0
  AND pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode
ORDER BY 1`, anyEncoding)
	if err != nil {
		return fmt.Errorf("compare the files of tables: %w", err)
	}
	if len(rewritten) == 0 {
		return nil
	}
	return backup.Fail(backupapi.CategorySource, errors.Join(
		fmt.Errorf("lock tables: %s was truncated, rewritten or dropped while the snapshot was taken", backup.Summarize(rewritten)), backup.ErrChanged))
}

// raceOrClassify adds ErrChanged to what a table that was dropped, renamed or moved
// since the snapshot causes.
func raceOrClassify(err error) error {
	if isCode(err, "42P01") || isCode(err, "3F000") || isCode(err, "XX000") { // undefined_table, invalid_schema_name, internal_error
		return backup.Fail(backupapi.CategorySource, errors.Join(err, backup.ErrChanged))
	}
	return classify(err)
}
