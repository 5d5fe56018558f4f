package backup

import (
	"context"
	"errors"
	"io"

	"github.com/nova/novawire/backup/pgarchive"
)

// ErrNotEmpty says that a database exists and has something in it.
var ErrNotEmpty = errors.New("the database is not empty")

// Sections of an archive, as pg_restore names them.
const (
	PreData  = "pre-data"
	Data     = "data"
	PostData = "post-data"
)

// Target is a PostgreSQL server to restore into.
type Target interface {
	// Missing returns which of these roles and tablespaces the server does not have.
	Missing(ctx context.Context, roles, tablespaces []string) (missingRoles, missingTablespaces []string, err error)
	// Create makes the database. One that is there and empty is taken as it is;
	// ErrNotEmpty otherwise.
	Create(ctx context.Context, database string, p Properties) error
	// Globals runs the SQL of roles and tablespaces. Statements that fail, as those
	// for roles that are there, are returned as warnings.
	Globals(ctx context.Context, sql io.Reader) (warnings []string, err error)
	// Restore runs pg_restore on an archive that is read once.
	Restore(ctx context.Context, job Job, archive io.Reader) error
	// RestoreHead runs pg_restore, several statements at a time, on an archive without data.
	RestoreHead(ctx context.Context, job Job, head []byte, atATime int) error
	// Load opens a session that loads tables. settings are SQL that the archive
	// wants to be run first: for example its encoding.
	Load(ctx context.Context, database string, settings []string) (Loader, error)
	// ApplyProperties applies the database's own settings after all is there. What the server
	// cannot have, such as an owner it does not know, is returned as warnings.
	ApplyProperties(ctx context.Context, database string, p Properties) (warnings []string, err error)
}

// Loader is one session that loads tables, one after the other. After an error
// it is only good for Close.
type Loader interface {
	// Copy runs the entry's COPY statement on rows and says how many there were. A
	// fresh table is one that is known to be empty and that no other session uses:
	// its rows may be written as if they had always been there.
	Copy(ctx context.Context, e pgarchive.Entry, fresh bool, rows io.Reader) (int64, error)
	Close(ctx context.Context) error
}

// Job is one run of pg_restore.
type Job struct {
	Database string
	Section  string
	// Entries are the numbers of those to restore; nil is all of them.
	Entries []int
	// Workers is how many of the restore's sessions the run stands for: so much of the
	// server's memory and cores is its own. Zero is one.
	Workers int
	// Bytes is about how large the tables are whose indexes it builds.
	Bytes int64
}

// Scratch starts servers to throw away.
type Scratch interface {
	// Start runs an empty server of a major version until Stop.
	Start(ctx context.Context, major int) (ScratchServer, error)
}

// ScratchServer is a server that belongs to a drill alone.
type ScratchServer interface {
	Target
	// Open takes a snapshot of a restored database, to compare it.
	Open(ctx context.Context, database string) (Snapshot, error)
	Version() string
	// Stop ends the server and removes its files.
	Stop() error
}
