package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// rangeScans is the first major version whose scans of a range of ctids read no other
// block.
const rangeScans = 14

// tableRows describes how to copy the rows of a table by ranges of blocks.
type tableRows struct {
	entry  pgarchive.Entry
	query  string // COPY of the range that the session's settings name
	blocks int64
}

// The settings of a session that name its range. With them, COPY is the same statement for
// every range: pg_stat_statements keeps one entry, not thousands.
const (
	firstBlock = "novawire.first_block"
	endBlock   = "novawire.end_block"
)

// describeRows returns nil for a table that cannot be copied by ranges: an old server,
// another access method than heap, or a partition, whose rows pg_dump may send through the
// root.
func (s *snapshot) describeRows(ctx context.Context, t backup.Table) (*tableRows, error) {
	if s.facts.Server.Major < rangeScans || s.facts.Properties.Encoding == sqlASCII {
		return nil, nil
	}
	var name string
	var columns *string
	rows := &tableRows{entry: pgarchive.Entry{Schema: t.Schema, Name: t.Name}}
	err := s.conn.QueryRow(ctx, `
SELECT format('%I.%I', n.nspname, c.relname), pg_get_userbyid(c.relowner), pg_relation_size(c.oid) / current_setting('block_size')::int8, (
  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_am m ON m.oid = c.relam
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r' AND m.amname = 'heap' AND NOT c.relispartition`,
		t.Schema, t.Name).Scan(&name, &rows.entry.Owner, &rows.blocks, &columns)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", pattern(t), classify(err))
	}
	if columns == nil || s.facts.Properties.Encoding != "UTF8" && !isASCII(*columns+rows.entry.Owner) {
		return nil, nil
	}
	rows.entry.CopyStatement = fmt.Sprintf("COPY %s (%s) FROM stdin;\n", name, *columns)
	rows.query = fmt.Sprintf("COPY (SELECT %s FROM ONLY %s WHERE ctid >= current_setting('%s')::tid AND ctid < current_setting('%s')::tid) TO STDOUT",
		*columns, name, firstBlock, endBlock)
	return rows, nil
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// dumpRanges dumps the data of a table by sessions of ours. pg_dump writes the archive but
// for the rows: it is asked for the table without its data.
func (s *snapshot) dumpRanges(ctx context.Context, t backup.Table, rows *tableRows, more backup.Workers) (backup.Dump, error) {
	empty, err := s.start(ctx, "--section=data", "--strict-names", "--table="+pattern(t), "--exclude-table-data="+pattern(t))
	if err != nil {
		return nil, err
	}
	archive, err := io.ReadAll(struct{ io.Reader }{empty})
	if err = errors.Join(err, empty.Close()); err != nil {
		return nil, err
	}
	head, err := pgarchive.WithTableData(archive, rows.entry)
	if err != nil {
		return nil, backup.Fail(backupapi.CategorySource, fmt.Errorf("pg_dump ended well, but wrote %w", err))
	}
	conn, err := s.rangeSession(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	return &rangeDump{
		ctx: ctx, cancel: cancel, snapshot: s, rows: rows, more: more, first: conn, pending: head, warnings: empty.Warnings(),
		order: make(chan *blockRange, cap(more)), free: make(chan []byte, chunksOfRange*cap(more)), step: firstStep,
	}, nil
}

// rangeSession opens a session on the snapshot that writes values as pg_dump's does.
func (s *snapshot) rangeSession(ctx context.Context) (*pgx.Conn, error) {
	conn, err := s.source.connect(ctx, s.database)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{
		"SET client_encoding = " + literal(s.facts.Properties.Encoding),
		"SET row_security = off",   // an error, not fewer rows
		"SET enable_seqscan = off", // it would read all blocks for each range
		"SET enable_tidscan = on",
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		"SET TRANSACTION SNAPSHOT " + literal(s.name),
	} {
		if err := conn.PgConn().Exec(ctx, sql).Close(); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("prepare a session: %w", classify(err))
		}
	}
	return conn, nil
}

// copyRange copies the rows of a range of blocks.
func copyRange(ctx context.Context, conn *pgx.Conn, query string, first, end int64, to io.Writer) error {
	set := fmt.Sprintf("SELECT set_config('%s', '(%d,0)', true), set_config('%s', '(%d,0)', true)", firstBlock, first, endBlock, end)
	if err := conn.PgConn().Exec(ctx, set).Close(); err != nil {
		return classify(err)
	}
	if _, err := conn.PgConn().CopyTo(ctx, to, query); err != nil {
		return classify(err)
	}
	return nil
}
