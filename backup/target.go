package backup

import (
	"context"
	"errors"
	"io"

	"github.com/nova/novawire/backup/pgarchive"
)

// ErrNotEmpty reports that a database exists and is not empty.
var ErrNotEmpty = errors.New("the database is not empty")

// Sections of an archive, as pg_restore names them.
const (
	PreData  = "pre-data"
	Data     = "data"
	PostData = "post-data"
)

// Target is a PostgreSQL server to restore into.
type Target interface {
	// Missing returns which of the required roles, tablespaces and extensions the server
	// does not have, as far as the restore needs them.
	Missing(ctx context.Context, required Requirements) (Requirements, error)
	// Create creates the database. It accepts one that exists and is empty, and returns
	// ErrNotEmpty for one that is not.
	Create(ctx context.Context, database string, p Properties) error
	// Globals creates the roles and tablespaces of pg_dumpall's SQL that the server does
	// not have. Statements that fail are returned as warnings.
	Globals(ctx context.Context, sql io.Reader) (warnings []string, err error)
	// Restore runs pg_restore on an archive that is read once.
	Restore(ctx context.Context, job Job, archive io.Reader) error
	// RestoreHead runs pg_restore, several statements at a time, on an archive without data.
	RestoreHead(ctx context.Context, job Job, head []byte, atATime int) error
	// BeginData is called between definitions and data, EndData after the last statement:
	// some extensions have to know that a restore is under way.
	BeginData(ctx context.Context, database string) error
	EndData(ctx context.Context, database string) error
	// Load opens a session that loads tables. settings are SQL that the archive
	// wants to be run first: for example its encoding.
	Load(ctx context.Context, database string, settings []string) (Loader, error)
	// ApplyProperties sets the properties of the database after everything else is
	// restored. What the server refuses, such as an unknown owner, is returned as warnings.
	ApplyProperties(ctx context.Context, database string, p Properties) (warnings []string, err error)
}

// Requirements are names that a backup refers to and that an archive does not create.
type Requirements struct {
	Owners      []string // roles that own something
	Grantees    []string // roles that have privileges on something
	Tablespaces []string
	Extensions  []string
}

// Loader is one session that loads tables, one after the other. After an error only Close
// may be called.
type Loader interface {
	// Copy runs the entry's COPY statement on rows and returns their number. A fresh table
	// is known to be empty and used by no other session: its rows may be frozen.
	Copy(ctx context.Context, e pgarchive.Entry, fresh bool, rows io.Reader) (int64, error)
	Close(ctx context.Context) error
}

// Job is one run of pg_restore.
type Job struct {
	Database string
	Section  string
	// Entries are the numbers of the entries to restore; nil restores all.
	Entries []int
	// Workers is how many of the restore's workers this run replaces: it may use their
	// share of the server's memory and cores. Zero is one.
	Workers int
	// Bytes is the approximate size of the tables whose indexes it builds.
	Bytes int64
}

// Scratch starts scratch servers.
type Scratch interface {
	// Start runs an empty server, of a backup's major version and with the libraries that
	// the extensions of the backup need, until Stop.
	Start(ctx context.Context, m Manifest) (ScratchServer, error)
}

// ScratchServer is a temporary server for one drill.
type ScratchServer interface {
	Target
	// Open takes a snapshot of a restored database, to compare it.
	Open(ctx context.Context, database string) (Snapshot, error)
	Version() string
	// Stop ends the server and removes its files.
	Stop() error
}
