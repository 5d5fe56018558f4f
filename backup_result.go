package novawire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// BackupCategory says why pg-backup failed, in one word: it is the metric's
// label, the log's key and, through [BackupCategory.ExitCode], the exit code.
type BackupCategory string

// The categories.
const (
	BackupSucceeded   BackupCategory = ""
	BackupUnexpected  BackupCategory = "unexpected"
	BackupUsage       BackupCategory = "usage"
	BackupVerify      BackupCategory = "verify"
	BackupSource      BackupCategory = "source"
	BackupStore       BackupCategory = "store"
	BackupRefused     BackupCategory = "refused"
	BackupLockHeld    BackupCategory = "lock-held"
	BackupPermission  BackupCategory = "permission"
	BackupDeadline    BackupCategory = "deadline"
	BackupInterrupted BackupCategory = "interrupted"
	// What pg-backup cannot report itself: the controller finds it.
	BackupKilled     BackupCategory = "killed"      // out of memory, evicted, kill -9
	BackupNotStarted BackupCategory = "not-started" // no image, no Secret, no room
)

// BackupExit documents one exit code.
type BackupExit struct {
	Code     int
	Category BackupCategory
	Meaning  string
}

// BackupExits lists the exit codes in the order of the documentation. Most are
// those of sysexits.h; 124 is timeout(1)'s, 137 is 128 + SIGKILL, 143 is 128 + SIGTERM.
func BackupExits() []BackupExit { return append([]BackupExit(nil), backupExits...) }

var backupExits = []BackupExit{
	{0, BackupSucceeded, "done"},
	{1, BackupUnexpected, "an error of no category: a defect, please report it"},
	{64, BackupUsage, "a flag or a variable is wrong; running again does not help"},
	{65, BackupVerify, "a backup is not what its manifest says, or a drill found a difference"},
	{68, BackupSource, "PostgreSQL or one of its clients: not reachable, wrong version, died, refused"},
	{69, BackupStore, "S3: not reachable, refused, kept failing after retries"},
	{73, BackupRefused, "refused to do harm: the target is not empty, the clock is wrong, too much would be deleted"},
	{75, BackupLockHeld, "another run holds the lock, or a table stayed locked; running again helps"},
	{77, BackupPermission, "a right is missing, in PostgreSQL, S3 or KMS"},
	{124, BackupDeadline, "DEADLINE passed"},
	{137, BackupKilled, "killed from outside: out of memory, evicted, `kill -9`; it could report nothing"},
	{143, BackupInterrupted, "SIGTERM or SIGINT; nothing was left open"},
}

// BackupCategoryOf is the category of an exit code.
func BackupCategoryOf(code int) BackupCategory {
	for _, exit := range backupExits {
		if exit.Code == code {
			return exit.Category
		}
	}
	return BackupUnexpected
}

// ExitCode is the category's exit code.
func (c BackupCategory) ExitCode() int {
	for _, exit := range backupExits {
		if exit.Category == c {
			return exit.Code
		}
	}
	return 1
}

// BackupMessageLimit is how much of a termination message Kubernetes keeps, in
// bytes, for one container.
const BackupMessageLimit = 4096

// BackupResult is the termination message of pg-backup: what one verb did.
type BackupResult struct {
	Verb      string                 `json:"verb"`
	DryRun    bool                   `json:"dryRun,omitempty"`
	Version   string                 `json:"version,omitempty"`
	Category  BackupCategory         `json:"category,omitempty"` // empty: succeeded
	Message   string                 `json:"message,omitempty"`  // the error, without secrets
	Started   time.Time              `json:"started"`
	Seconds   float64                `json:"seconds"`
	Databases []BackupDatabaseResult `json:"databases,omitempty"`
	Warnings  []string               `json:"warnings,omitempty"`
	// Truncated says that something was left out to fit [BackupMessageLimit].
	Truncated bool `json:"truncated,omitempty"`
}

// BackupDatabaseResult is what a verb did with one database.
type BackupDatabaseResult struct {
	Name      string         `json:"name"`
	Category  BackupCategory `json:"category,omitempty"`
	Message   string         `json:"message,omitempty"`
	Backup    string         `json:"backup,omitempty"` // its id
	Bytes     int64          `json:"bytes,omitempty"`  // as PostgreSQL dumped them
	Stored    int64          `json:"stored,omitempty"` // as S3 keeps them
	Rows      int64          `json:"rows,omitempty"`
	Seconds   float64        `json:"seconds,omitempty"`
	Pruned    int            `json:"pruned,omitempty"`
	Anomalies int            `json:"anomalies,omitempty"`
	// HeldSeconds and HeldTransactions are how long the backup's snapshot held vacuum
	// back, in time and in the age of the oldest transaction that it kept.
	HeldSeconds      float64 `json:"heldSeconds,omitempty"`
	HeldTransactions int64   `json:"heldTransactions,omitempty"`
	// LastSuccess and LastVerified are when the newest committed backup, and the
	// newest one that a drill restored, were taken.
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`
	LastVerified *time.Time `json:"lastVerified,omitempty"`
}

// Succeeded tells whether the verb did all it was asked.
func (r BackupResult) Succeeded() bool { return r.Category == BackupSucceeded }

// Encode returns the result as JSON of at most [BackupMessageLimit] bytes. What
// does not fit goes in this order: warnings, then long messages, then databases
// that succeeded, then databases.
func (r BackupResult) Encode() []byte {
	r.Databases = append([]BackupDatabaseResult(nil), r.Databases...)
	for _, shorten := range []func(*BackupResult){
		func(*BackupResult) {},
		func(r *BackupResult) { r.Warnings, r.Truncated = nil, true },
		func(r *BackupResult) { r.shortenMessages(200) },
		func(r *BackupResult) { r.keepFailures() },
		func(r *BackupResult) { r.Databases = r.Databases[:min(len(r.Databases), 8)] },
		func(r *BackupResult) { r.Databases = nil },
	} {
		shorten(&r)
		if encoded, err := json.Marshal(r); err == nil && len(encoded) <= BackupMessageLimit {
			return encoded
		}
	}
	return nil // a verb and a version of 4 kB: not ours
}

// ParseBackupResult reads a termination message.
func ParseBackupResult(message []byte) (BackupResult, error) {
	var r BackupResult
	if err := json.Unmarshal(message, &r); err != nil {
		return BackupResult{}, fmt.Errorf("read the termination message: %w", err)
	}
	if r.Verb == "" {
		return BackupResult{}, errors.New("read the termination message: it names no verb")
	}
	return r, nil
}

func (r *BackupResult) shortenMessages(limit int) {
	r.Message = Truncate(r.Message, limit)
	for i := range r.Databases {
		r.Databases[i].Message = Truncate(r.Databases[i].Message, limit)
	}
}

func (r *BackupResult) keepFailures() {
	var failed []BackupDatabaseResult
	for _, d := range r.Databases {
		if d.Category != BackupSucceeded {
			failed = append(failed, d)
		}
	}
	r.Databases = failed
}
