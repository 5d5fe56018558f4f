package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Verification is what a drill found: verify.json, beside the manifest.
type Verification struct {
	Format   int       `json:"format"`
	Verified bool      `json:"verified"`
	ID       string    `json:"id"`
	Database string    `json:"database"`
	Started  time.Time `json:"started"`
	// Seconds is how long the restore took, without the comparison: the recovery
	// time that was measured.
	Seconds     float64  `json:"seconds"`
	Program     string   `json:"program"`
	Server      string   `json:"server"` // the version that was restored into
	Tables      int      `json:"tables"`
	Rows        int64    `json:"rows"`
	Differences []string `json:"differences,omitempty"`
	Warnings    []string `json:"warnings,omitempty"`
}

// ReadVerification reads the last drill's verdict on a backup. ErrNotFound if
// none was made.
func ReadVerification(ctx context.Context, store Reader, database, id string) (Verification, error) {
	var v Verification
	err := readJSON(ctx, store, Folder(database, id)+VerificationName, &v)
	return v, err
}

func (v Verification) Write(ctx context.Context, store Writer) error {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode verification: %w", err)
	}
	if err := store.Put(ctx, Folder(v.Database, v.ID)+VerificationName, append(body, '\n')); err != nil {
		return fmt.Errorf("write verification of %s: %w", v.ID, err)
	}
	return nil
}

// MarkDamaged leaves the verdict of a verification that failed where a drill
// would leave its own.
func MarkDamaged(ctx context.Context, store Writer, m Manifest, program string, at time.Time, damage error) error {
	v := Verification{Format: 1, ID: m.ID, Database: m.Database, Started: at.UTC(), Program: program, Differences: []string{damage.Error()}}
	return v.Write(ctx, store)
}
