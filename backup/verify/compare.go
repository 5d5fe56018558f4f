package verify

import (
	"context"
	"errors"
	"io"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// opener takes snapshots of databases: a source, or a scratch server.
type opener interface {
	Open(ctx context.Context, database string) (backup.Snapshot, error)
}

// Compare counts a restored database as a backup would and compares it with the
// manifest of the backup that it was restored from. An error of category verify says
// how they differ.
func Compare(ctx context.Context, server opener, database string, m backup.Manifest) (pgarchive.Tally, error) {
	if m.Content.Unknown != "" {
		return pgarchive.Tally{}, backup.Fail(backupapi.CategoryUsage, errors.New("compare with the manifest: the backup was not counted: "+m.Content.Unknown))
	}
	content, err := recount(ctx, server, database)
	if err != nil {
		return content, backup.Fail(backupapi.CategorySource, err)
	}
	if content.Unknown != "" {
		return content, backup.Fail(backupapi.CategorySource, errors.New("count the database: "+content.Unknown))
	}
	if found := differences(m.Content, content, m.WithoutData); len(found) > 0 {
		return content, backup.Fail(backupapi.CategoryVerify, errors.New("compare with the manifest: "+backup.Summarize(found)))
	}
	return content, nil
}

// recount dumps a database through the counters of a backup.
func recount(ctx context.Context, server opener, database string) (content pgarchive.Tally, err error) {
	snapshot, err := server.Open(ctx, database)
	if err != nil {
		return content, err
	}
	defer func() { _ = snapshot.Close(context.WithoutCancel(ctx)) }()
	dump, err := snapshot.Base(ctx, nil)
	if err != nil {
		return content, err
	}
	defer func() { _ = dump.Close() }()
	_, content, err = pgarchive.Copy(io.Discard, dump)
	return content, err
}
