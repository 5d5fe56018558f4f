package backup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nova/novawire/backup/pgarchive"
)

// ManifestFormat is the version of the manifest's format, which docs/backup.md
// describes. A reader refuses a newer one.
const ManifestFormat = 1

// Manifest lists what a backup consists of. Writing it commits the backup.
type Manifest struct {
	Format    int       `json:"format"`
	ID        string    `json:"id"`
	Database  string    `json:"database"`
	Program   string    `json:"program"` // pg-backup's version
	Started   time.Time `json:"started"`
	Committed time.Time `json:"committed"`
	Facts     Facts     `json:"facts"`
	Encrypted bool      `json:"encrypted"`
	Streams   []Stream  `json:"streams"`
	Held      Held      `json:"held"`
	// WithoutData lists the tables whose data is not in the backup, because
	// EXCLUDE_TABLE_DATA said so. ExcludedDatabases are those of the server that
	// EXCLUDE_DATABASES left out of the run; they have no backup at all.
	WithoutData       []string `json:"withoutData,omitempty"`
	ExcludedDatabases []string `json:"excludedDatabases,omitempty"`
	// Content counts what all streams hold together, as the snapshot saw it.
	Content   pgarchive.Tally `json:"content"`
	Warnings  []string        `json:"warnings,omitempty"`
	Anomalies []string        `json:"anomalies,omitempty"`
	// Evidence is the newest record of evidence when the backup was made: a later
	// verification notices if that record is gone.
	Evidence *EvidenceHead `json:"evidence,omitempty"`
	// Restore holds the commands that restore the backup without pg-backup, one a line.
	Restore []string `json:"restore"`
}

// EvidenceHead names the newest record of a database's evidence.
type EvidenceHead struct {
	Sequence int64  `json:"sequence"`
	SHA256   string `json:"sha256"` // of the object
}

// Kinds of streams.
const (
	StreamGlobals = "globals" // SQL of pg_dumpall
	StreamBase    = "base"    // archive: everything but the data of big tables
	StreamData    = "data"    // archive: the data of one table
)

// Stream is the stored output of one process.
type Stream struct {
	Kind    string         `json:"kind"`
	Schema  string         `json:"schema,omitempty"`
	Table   string         `json:"table,omitempty"`
	Bytes   int64          `json:"bytes"` // written by the process, before compression
	Objects []StoredObject `json:"objects"`
}

// StoredObject is a part of a stream. The parts, in their order, make up the stream.
type StoredObject struct {
	Name   string `json:"name"` // in the manifest's folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Bytes returns how many bytes the processes wrote.
func (m Manifest) Bytes() (n int64) {
	for _, s := range m.Streams {
		n += s.Bytes
	}
	return n
}

// Stored returns the size of all objects in the store.
func (m Manifest) Stored() (n int64) {
	for _, s := range m.Streams {
		n += s.stored()
	}
	return n
}

// Title names the stream in messages: its kind and, for a data stream, its table.
func (s Stream) Title() string {
	if s.Kind == StreamData {
		return s.Kind + " " + pgarchive.SQLName(s.Schema, s.Table)
	}
	return s.Kind
}

func (s Stream) stored() (n int64) {
	for _, o := range s.Objects {
		n += o.Size
	}
	return n
}

// StreamsOf returns the streams of one kind.
func (m Manifest) StreamsOf(kind string) (found []Stream) {
	for _, s := range m.Streams {
		if s.Kind == kind {
			found = append(found, s)
		}
	}
	return found
}

// LeftOut says which tables a restore brings back without their data.
func (m Manifest) LeftOut() []string {
	if len(m.WithoutData) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d tables come back without data, which was left out of the backup: %s", len(m.WithoutData), Summarize(m.WithoutData))}
}

// Folder returns the prefix of the backup's objects.
func (m Manifest) Folder() string { return Folder(m.Database, m.ID) }

// maxTables bounds how many tables a manifest counts, so that every reader can
// read it.
const maxTables = 500_000

// Encode returns the manifest as indented JSON, which people read who restore by
// hand. A database of more than [maxTables] tables is not counted.
func (m Manifest) Encode() ([]byte, error) {
	if n := len(m.Content.Tables); n > maxTables {
		m.Content = pgarchive.Tally{Unknown: fmt.Sprintf("%d tables are too many for a manifest", n)}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the commands hold < and &
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return out.Bytes(), nil
}
