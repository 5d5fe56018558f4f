package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// ManifestFormat is the version of what [Manifest] is written as. A reader
// refuses a newer one; docs/backup.md describes it.
const ManifestFormat = 1

// Manifest is a backup's table of contents and its commit.
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
	// Content is what the streams hold together, as the snapshot saw it.
	Content   pgarchive.Tally `json:"content"`
	Warnings  []string        `json:"warnings,omitempty"`
	Anomalies []string        `json:"anomalies,omitempty"`
	// Restore brings the backup back without pg-backup, one command a line.
	Restore []string `json:"restore"`
}

// Kinds of streams.
const (
	StreamGlobals = "globals" // SQL of pg_dumpall
	StreamBase    = "base"    // archive: everything but the data of big tables
	StreamData    = "data"    // archive: the data of one table
)

// Stream is the output of one process, as it is stored.
type Stream struct {
	Kind    string         `json:"kind"`
	Schema  string         `json:"schema,omitempty"`
	Table   string         `json:"table,omitempty"`
	Bytes   int64          `json:"bytes"` // as the process wrote them
	Objects []StoredObject `json:"objects"`
}

// StoredObject is a piece of a stream. The pieces after each other are the stream.
type StoredObject struct {
	Name   string `json:"name"` // in the manifest's folder
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Bytes is how much the processes wrote, Stored how much of it is kept.
func (m Manifest) Bytes() (n int64) {
	for _, s := range m.Streams {
		n += s.Bytes
	}
	return n
}

// Stored is the size of all objects.
func (m Manifest) Stored() (n int64) {
	for _, s := range m.Streams {
		n += s.stored()
	}
	return n
}

// Title names the stream for people: its kind, and the table of a data stream.
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

func (m Manifest) Folder() string { return Folder(m.Database, m.ID) }

// Encode writes the manifest for machines and for the people who restore by hand.
func (m Manifest) Encode() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the commands hold < and &
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return out.Bytes(), nil
}

// ReadManifest reads the manifest of a backup. ErrNotFound if there is none: then
// there is no such backup.
func ReadManifest(ctx context.Context, store Reader, database, id string) (Manifest, error) {
	var m Manifest
	if err := readJSON(ctx, store, Folder(database, id)+ManifestName, &m); err != nil {
		return m, err
	}
	if m.Format < 1 || m.Format > ManifestFormat {
		return m, Fail(backupapi.CategoryVerify, fmt.Errorf("read manifest %s of %s: format %d is not known to this version", id, database, m.Format))
	}
	if m.ID != id || m.Database != database {
		return m, Fail(backupapi.CategoryVerify, fmt.Errorf("read manifest %s of %s: it is that of %s of %s", id, database, m.ID, m.Database))
	}
	return m, nil
}

// maxManifest bounds what is read into memory: a table takes about 100 bytes.
const maxManifest = 256 << 20

func readJSON(ctx context.Context, store Reader, key string, into any) error {
	body, err := ReadObject(ctx, store, key)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return Fail(backupapi.CategoryVerify, fmt.Errorf("read %s: %w", key, err))
	}
	return nil
}

func ReadObject(ctx context.Context, store Reader, key string) ([]byte, error) {
	r, err := store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxManifest))
}
