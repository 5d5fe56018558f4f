package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nova/novawire/internal/validate"
)

// Category says why pg-backup failed, in one word: it is the metric's
// label, the log's key and, through [Category.ExitCode], the exit code.
type Category string

// The categories.
const (
	CategorySucceeded   Category = ""
	CategoryUnexpected  Category = "unexpected"
	CategoryUsage       Category = "usage"
	CategoryVerify      Category = "verify"
	CategorySource      Category = "source"
	CategoryStore       Category = "store"
	CategoryRefused     Category = "refused"
	CategoryCopy        Category = "copy"
	CategoryLockHeld    Category = "lock-held"
	CategoryPermission  Category = "permission"
	CategoryDeadline    Category = "deadline"
	CategoryInterrupted Category = "interrupted"
	// What pg-backup cannot report itself: the controller finds it.
	CategoryKilled     Category = "killed"      // out of memory, evicted, kill -9
	CategoryNotStarted Category = "not-started" // no image, no Secret, no room
)

// Exit documents one exit code.
type Exit struct {
	Code     int
	Category Category
	Meaning  string
}

// Exits lists the exit codes in the order of the documentation. Most are
// those of sysexits.h; 124 is timeout(1)'s, 137 is 128 + SIGKILL, 143 is 128 + SIGTERM.
func Exits() []Exit { return append([]Exit(nil), exits...) }

var exits = []Exit{
	{0, CategorySucceeded, "done"},
	{1, CategoryUnexpected, "an error of no category: a defect, please report it"},
	{64, CategoryUsage, "a flag or a variable is wrong; running again does not help"},
	{65, CategoryVerify, "a backup is not what its manifest says, or a drill found a difference"},
	{68, CategorySource, "PostgreSQL or one of its clients: not reachable, wrong version, died, refused"},
	{69, CategoryStore, "S3: not reachable, refused, kept failing after retries"},
	{73, CategoryRefused, "refused to do harm: the target is not empty, the clock is wrong, too much would be deleted"},
	{74, CategoryCopy, "the backups are committed, and some are not in the second store: the next run copies them"},
	{75, CategoryLockHeld, "another run holds the lock, or a table stayed locked; running again helps"},
	{77, CategoryPermission, "a right is missing, in PostgreSQL, S3 or KMS"},
	{124, CategoryDeadline, "DEADLINE passed"},
	{137, CategoryKilled, "killed from outside: out of memory, evicted, `kill -9`; it could report nothing"},
	{143, CategoryInterrupted, "SIGTERM or SIGINT; nothing was left open"},
}

// CategoryOf is the category of an exit code.
func CategoryOf(code int) Category {
	for _, exit := range exits {
		if exit.Code == code {
			return exit.Category
		}
	}
	return CategoryUnexpected
}

// ExitCode is the category's exit code.
func (c Category) ExitCode() int {
	for _, exit := range exits {
		if exit.Category == c {
			return exit.Code
		}
	}
	return 1
}

// MessageLimit is how much of a termination message Kubernetes keeps, in
// bytes, for one container.
const MessageLimit = 4096

// Result is the termination message of pg-backup: what one verb did.
type Result struct {
	Verb      string           `json:"verb"`
	DryRun    bool             `json:"dryRun,omitempty"`
	Version   string           `json:"version,omitempty"`
	Category  Category         `json:"category,omitempty"` // empty: succeeded
	Message   string           `json:"message,omitempty"`  // the error, without secrets
	Started   time.Time        `json:"started"`
	Seconds   float64          `json:"seconds"`
	Databases []DatabaseResult `json:"databases,omitempty"`
	Warnings  []string         `json:"warnings,omitempty"`
	// Truncated says that something was left out to fit [MessageLimit].
	Truncated bool `json:"truncated,omitempty"`
}

// DatabaseResult is what a verb did with one database.
type DatabaseResult struct {
	Name      string   `json:"name"`
	Category  Category `json:"category,omitempty"`
	Message   string   `json:"message,omitempty"`
	Backup    string   `json:"backup,omitempty"` // its id
	Bytes     int64    `json:"bytes,omitempty"`  // as PostgreSQL dumped them
	Stored    int64    `json:"stored,omitempty"` // as S3 keeps them
	Rows      int64    `json:"rows,omitempty"`
	Seconds   float64  `json:"seconds,omitempty"`
	Pruned    int      `json:"pruned,omitempty"`
	Locked    int      `json:"locked,omitempty"` // kept by a lock in the store, although retention would delete them
	Anomalies int      `json:"anomalies,omitempty"`
	// NotGood counts the backups that do not count as a way back: damaged, unreadable,
	// empty, incomplete or misdated ones.
	NotGood int `json:"notGood,omitempty"`
	// PruneRefused says why nothing was pruned, and how to continue; empty if nothing
	// was refused. The backup itself may have succeeded.
	PruneRefused string `json:"pruneRefused,omitempty"`
	// Copied counts the backups that were copied to the second store, CopyFailed says why
	// some were not, and LastCopied is when the newest good one there was begun.
	Copied     int        `json:"copied,omitempty"`
	CopyFailed string     `json:"copyFailed,omitempty"`
	LastCopied *time.Time `json:"lastCopied,omitempty"`
	// HeldSeconds and HeldTransactions are how long the backup's snapshot held vacuum
	// back, in time and in the age of the oldest transaction that it kept.
	HeldSeconds      float64 `json:"heldSeconds,omitempty"`
	HeldTransactions int64   `json:"heldTransactions,omitempty"`
	// LastSuccess and LastVerified are when the newest good backup, and the newest one
	// that a drill restored, were begun.
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`
	LastVerified *time.Time `json:"lastVerified,omitempty"`
}

// Succeeded reports whether the verb did everything that it was asked to do.
func (r Result) Succeeded() bool { return r.Category == CategorySucceeded }

// Encode returns the result as JSON of at most [MessageLimit] bytes. What
// does not fit goes in this order: warnings, then long messages, then databases
// that succeeded, then databases.
func (r Result) Encode() []byte {
	r.Databases = append([]DatabaseResult(nil), r.Databases...)
	for _, shorten := range []func(*Result){
		func(*Result) {},
		func(r *Result) { r.Warnings, r.Truncated = nil, true },
		func(r *Result) { r.shortenMessages(200) },
		func(r *Result) { r.keepFailures() },
		func(r *Result) { r.Databases = r.Databases[:min(len(r.Databases), 8)] },
		func(r *Result) { r.Databases = nil },
	} {
		shorten(&r)
		if encoded, err := json.Marshal(r); err == nil && len(encoded) <= MessageLimit {
			return encoded
		}
	}
	return nil // a verb and a version of 4 kB: not ours
}

// ParseResult reads a termination message.
func ParseResult(message []byte) (Result, error) {
	var r Result
	if err := json.Unmarshal(message, &r); err != nil {
		return Result{}, fmt.Errorf("read the termination message: %w", err)
	}
	if r.Verb == "" {
		return Result{}, errors.New("read the termination message: it names no verb")
	}
	return r, nil
}

func (r *Result) shortenMessages(limit int) {
	r.Message = validate.Truncate(r.Message, limit)
	for i := range r.Databases {
		r.Databases[i].Message = validate.Truncate(r.Databases[i].Message, limit)
		r.Databases[i].CopyFailed = validate.Truncate(r.Databases[i].CopyFailed, limit)
		r.Databases[i].PruneRefused = validate.Truncate(r.Databases[i].PruneRefused, limit)
	}
}

func (r *Result) keepFailures() {
	var failed []DatabaseResult
	for _, d := range r.Databases {
		if d.Category != CategorySucceeded {
			failed = append(failed, d)
		}
	}
	r.Databases = failed
}
