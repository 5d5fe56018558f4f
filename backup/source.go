package backup

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors of a source.
var (
	// ErrLocked reports that another run holds the database's lock.
	ErrLocked = errors.New("another backup of this database is running")
	// ErrNoDatabase reports that the database does not exist.
	ErrNoDatabase = errors.New("no such database")
	// ErrConflict reports that a dump did not get a lock in time, or that a standby's
	// recovery cancelled it. A new snapshot can help.
	ErrConflict = errors.New("lock or recovery conflict")
	// ErrChanged reports that a table was rewritten, altered or dropped between a snapshot
	// and its lock: a dump would lack rows, or fail. A new snapshot helps.
	ErrChanged = errors.New("a table changed while the snapshot was taken")
)

// Source is a PostgreSQL server to dump from.
type Source interface {
	// Databases names every database that can be dumped, and those that are left out
	// because they are templates, allow no connections or belong to the provider.
	Databases(ctx context.Context) (names, leftOut []string, err error)
	// MatchingDatabases names the databases that a psql pattern matches.
	MatchingDatabases(ctx context.Context, pattern string) ([]string, error)
	// Globals dumps roles and tablespaces as SQL.
	Globals(ctx context.Context) (Dump, error)
	// Open takes the database's lock and a snapshot. ErrLocked, ErrNoDatabase.
	Open(ctx context.Context, database string) (Snapshot, error)
}

// Snapshot is a consistent state of one database, held until Close.
type Snapshot interface {
	Facts() Facts
	// Tables returns the tables whose data can be dumped separately.
	Tables() []Table
	// MatchingTables returns the tables with data that a psql pattern matches, with or
	// without a schema.
	MatchingTables(ctx context.Context, pattern string) ([]Table, error)
	// ReferencesTo describes the foreign keys of other tables that refer to these.
	ReferencesTo(ctx context.Context, tables []Table) ([]string, error)
	// Base dumps everything but the data of these tables.
	Base(ctx context.Context, without []Table) (Dump, error)
	// Data dumps the data of one table. The caller has acquired a worker for it; it may
	// acquire more while they are free, and releases these itself. Nil allows no more.
	Data(ctx context.Context, table Table, more Workers) (Dump, error)
	// CheckAlive reports whether the snapshot is still held, and with it that all dumps
	// saw the same moment; and what holding it has cost. It is asked once.
	CheckAlive(ctx context.Context) (Held, error)
	// Unreadable returns what the role may not dump and why: missing grants, row security.
	// A dump fails on the first of them.
	Unreadable(ctx context.Context) ([]string, error)
	// Connections returns how many more connections the role, the database and the
	// server allow.
	Connections(ctx context.Context) (int, error)
	// Definitions dumps the definitions alone, with every lock that a dump takes.
	Definitions(ctx context.Context) (Dump, error)
	Close(ctx context.Context) error
}

// Dump is the output of a process. Read returns [io.EOF] only after the process has exited
// with 0: a process that fails causes an error of Read, never a short stream.
type Dump interface {
	io.ReadCloser
	// Warnings returns what the process wrote to stderr; it is complete after io.EOF.
	Warnings() []string
}

// Table is a table with data.
type Table struct {
	Schema, Name string
	Bytes        int64 // on disk, without indexes
}

// Facts describes a database at the moment of its snapshot.
type Facts struct {
	Server     ServerFacts `json:"server"`
	Properties Properties  `json:"properties"`
	Taken      time.Time   `json:"taken"` // of the snapshot, by the server's clock
	// Extensions has the version of each installed extension, by its name.
	Extensions map[string]string `json:"extensions,omitempty"`
	// MonetaryLocale is the lc_monetary of the dump; "" is the server's own.
	MonetaryLocale string `json:"monetaryLocale,omitempty"`
	// Estimate is how many bytes of table data there are on disk.
	Estimate int64 `json:"estimate"`
}

// ServerFacts returns the version of the server and of the client that dumped it.
type ServerFacts struct {
	Version    string `json:"version"`
	Major      int    `json:"major"`
	Client     string `json:"client"`
	Identifier string `json:"identifier,omitempty"` // pg_control's, where the role may ask
	Standby    bool   `json:"standby,omitempty"`
}

// Properties are a database's own, which an archive does not hold. They are values:
// a restore writes the SQL for them itself.
type Properties struct {
	Owner    string `json:"owner"`
	Encoding string `json:"encoding"`
	Collate  string `json:"collate"`
	CType    string `json:"ctype"`
	Provider string `json:"provider,omitempty"` // libc, icu or builtin
	Locale   string `json:"locale,omitempty"`   // of the provider
	ICURules string `json:"icuRules,omitempty"`
	// Tablespace is the default tablespace; "" is pg_default.
	Tablespace string `json:"tablespace,omitempty"`
	// ConnectionLimit is nil where there is none.
	ConnectionLimit *int      `json:"connectionLimit,omitempty"`
	IsTemplate      bool      `json:"isTemplate,omitempty"`
	Comment         string    `json:"comment,omitempty"`
	Config          []Config  `json:"config,omitempty"`
	Access          *[]Access `json:"access,omitempty"` // nil: the default privileges
	// Settings is what manifests of earlier versions have in place of Config and
	// Access: SQL, with :"database" for the name.
	Settings []string `json:"settings,omitempty"`
}

// Config is one setting of ALTER DATABASE … SET, or of ALTER ROLE … IN DATABASE … SET.
type Config struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"` // as pg_db_role_setting stores it
}

// Access is one privilege on the database.
type Access struct {
	Grantee   string `json:"grantee"` // "" is PUBLIC
	Grantor   string `json:"grantor"`
	Privilege string `json:"privilege"`
	Grantable bool   `json:"grantable,omitempty"`
}
