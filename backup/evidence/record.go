// Package evidence keeps signed records of restore drills, one chain for each database,
// so that an auditor can check years later and without a cluster which backups were
// restored. A record holds the hash of the one before it.
package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/pgarchive"
	"github.com/nova/novawire/backup/signature"
)

// Format is the version of the records' format, which docs/backup.md describes.
const Format = 1

// Record says what one drill restored and found.
type Record struct {
	Format   int   `json:"format"`
	Sequence int64 `json:"sequence"` // from 1, without a gap
	// Previous is the SHA-256 of the object of the record before; "" for the first.
	Previous string `json:"previous"`

	Database string    `json:"database"`
	Location string    `json:"location"` // of the store: s3://bucket/prefix
	Backup   string    `json:"backup"`   // its id
	Manifest string    `json:"manifest"` // SHA-256 of its manifest.json
	Taken    time.Time `json:"taken"`    // the snapshot's time

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// RestoreSeconds is how long the restore took, without the comparison.
	RestoreSeconds float64 `json:"restoreSeconds"`
	// Verified reports whether the restored database is what was backed up.
	Verified    bool     `json:"verified"`
	Differences []string `json:"differences,omitempty"`

	Tables int   `json:"tables"`
	Rows   int64 `json:"rows"`
	// Fingerprint is the SHA-256 over the rows and fingerprints of all tables, as they
	// were counted in the restored database. Content holds them, if they are few.
	Fingerprint string           `json:"fingerprint,omitempty"`
	Content     *pgarchive.Tally `json:"content,omitempty"`

	BackedUpFrom string `json:"backedUpFrom"` // version of the server
	RestoredInto string `json:"restoredInto"` // version of the server
	Program      string `json:"program"`      // pg-backup's version
	RunBy        string `json:"runBy"`
	Host         string `json:"host"`
}

// maxContentTables bounds the tables that a record lists.
const maxContentTables = 1000

// maxDifferences bounds the differences that a record lists.
const maxDifferences = 20

// New returns the record of a drill, without its place in the chain and without who ran it.
func New(m backup.Manifest, v backup.Verification, content pgarchive.Tally) (Record, error) {
	counted, err := json.Marshal(content)
	if err != nil {
		return Record{}, fmt.Errorf("encode content: %w", err)
	}
	sum := sha256.Sum256(counted) // a map's keys are sorted
	r := Record{
		Format: Format, Database: m.Database, Backup: m.ID, Taken: m.Facts.Taken.UTC(), Started: v.Started.UTC(), RestoreSeconds: v.Seconds,
		Verified: v.Verified, Differences: v.Differences[:min(len(v.Differences), maxDifferences)], Tables: v.Tables, Rows: v.Rows,
		BackedUpFrom: m.Facts.Server.Version, RestoredInto: v.Server, Program: v.Program, Fingerprint: hex.EncodeToString(sum[:]),
	}
	if len(content.Tables) <= maxContentTables {
		r.Content = &content
	}
	return r, nil
}

// envelope is a stored record. The record is text, so that every reader has the bytes
// that were signed.
type envelope struct {
	Record    string `json:"record"`
	Signature string `json:"signature"`
}

// seal encodes and signs a record.
func seal(r Record, key signature.Key) ([]byte, error) {
	record, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	body, err := json.MarshalIndent(envelope{string(record), string(key.Sign(signature.Evidence, record))}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return append(body, '\n'), nil
}

// open returns the record of an object and who signed it. The error says why it cannot
// be trusted; [signature.ErrInvalid] if that is for its signature.
func open(body []byte, keys signature.Keys) (r Record, by signature.PublicKey, err error) {
	var e envelope
	if err := decode(body, &e); err != nil {
		return r, by, err
	}
	if by, err = keys.Verify(signature.Evidence, []byte(e.Record), []byte(e.Signature)); err != nil {
		return r, by, err
	}
	if err := decode([]byte(e.Record), &r); err != nil {
		return r, by, err
	}
	if r.Format != Format {
		err = fmt.Errorf("its format is %d, this version reads format %d", r.Format, Format)
	}
	return r, by, err
}

// decode reads one JSON object and nothing else.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("it is malformed: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it is malformed: something follows its end")
	}
	return nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
