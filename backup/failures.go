package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/pgarchive"
)

// failure is an error with its category.
type failure struct {
	category backupapi.Category
	err      error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// Fail gives an error its category. A category that it has already stays: the
// place that knows most is the one where it happened.
func Fail(category backupapi.Category, err error) error {
	var known failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return failure{category, err}
}

// Category tells why an error happened. A deadline that passed and a signal
// explain whatever went wrong after them.
func Category(ctx context.Context, err error) backupapi.Category {
	if err == nil {
		return backupapi.CategorySucceeded
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return backupapi.CategoryDeadline
	case cause != nil:
		return backupapi.CategoryInterrupted
	}
	var known failure
	if errors.As(err, &known) {
		return known.category
	}
	switch {
	case errors.Is(err, ErrLocked):
		return backupapi.CategoryLockHeld
	case errors.Is(err, ErrNoDatabase):
		return backupapi.CategorySource
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrExists):
		return backupapi.CategoryStore
	}
	return backupapi.CategoryUnexpected
}

// DamagedArchive gives the category verify to bytes that are not a whole archive:
// the backup is damaged, not the store or the server.
func DamagedArchive(err error) error {
	if errors.Is(err, pgarchive.ErrFormat) {
		return Fail(backupapi.CategoryVerify, err)
	}
	return err
}

// Summarize joins the first lines to one short message, and counts the rest.
func Summarize(lines []string) string {
	const shown = 5
	if len(lines) <= shown {
		return strings.Join(lines, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(lines[:shown], "; "), len(lines)-shown)
}
