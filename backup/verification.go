package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
)

// Verification is the verdict of a drill, or of a verification that failed:
// verify.json, beside the manifest.
type Verification struct {
	Format   int       `json:"format"`
	Verified bool      `json:"verified"`
	ID       string    `json:"id"`
	Database string    `json:"database"`
	Started  time.Time `json:"started"`
	// Seconds is how long the restore took, without the comparison. It is the measured
	// recovery time.
	Seconds     float64  `json:"seconds"`
	Program     string   `json:"program"`
	Server      string   `json:"server"` // the version that was restored into
	Tables      int      `json:"tables"`
	Rows        int64    `json:"rows"`
	Differences []string `json:"differences,omitempty"`
	Warnings    []string `json:"warnings,omitempty"`
}

// ReadVerification reads the verdict on a backup. ErrNotFound says that there is
// none; the category verify, that it cannot be used.
func ReadVerification(ctx context.Context, store Reader, database, id string) (Verification, error) {
	var v Verification
	err := scanJSON(ctx, store, Folder(database, id)+VerificationName, maxVerificationBytes, func(d jsonStream) error { return d.value(&v) })
	switch {
	case err != nil:
		return v, fmt.Errorf("read %s of %s: %w", VerificationName, id, err)
	case v.ID != id || v.Database != database:
		err = fmt.Errorf("it is the verdict on backup %q of database %q", v.ID, v.Database)
	case v.Seconds < 0 || v.Seconds > maxDrillSeconds || v.Rows < 0:
		err = errors.New("its numbers are out of range")
	default:
		return v, nil
	}
	return v, Fail(backupapi.CategoryVerify, fmt.Errorf("read %s of %s: %w", VerificationName, id, err))
}

// maxDrillSeconds is ten years: what is longer was not measured.
const maxDrillSeconds = 10 * 365 * 24 * 3600

// maxDifferences bounds the size of verify.json.
const maxDifferences = 1000

// Write writes the verdict beside the manifest.
func (v Verification) Write(ctx context.Context, store Writer) error {
	if len(v.Differences) > maxDifferences {
		more := fmt.Sprintf("and %d more", len(v.Differences)-maxDifferences)
		v.Differences = append(slices.Clone(v.Differences[:maxDifferences]), more)
	}
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode verification: %w", err)
	}
	if err := store.Put(ctx, Folder(v.Database, v.ID)+VerificationName, append(body, '\n')); err != nil {
		return fmt.Errorf("write verification of %s: %w", v.ID, err)
	}
	return nil
}

// shortened returns the verdict as a summary repeats it.
func (v *Verification) shortened() *Verification {
	if v == nil {
		return nil
	}
	short := *v
	short.Warnings = nil
	if len(v.Differences) > 0 {
		short.Differences = []string{Summarize(v.Differences)}
	}
	return &short
}

// MarkDamaged records a failed verification where a drill would record its verdict.
func MarkDamaged(ctx context.Context, store Writer, m Manifest, program string, at time.Time, damage error) error {
	v := Verification{Format: 1, ID: m.ID, Database: m.Database, Started: at.UTC(), Program: program, Differences: []string{damage.Error()}}
	return v.Write(ctx, store)
}
