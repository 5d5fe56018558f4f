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

// Fail gives an error a category. An error that already has one keeps it: the place
// where the error happened knows it best.
func Fail(category backupapi.Category, err error) error {
	var known failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return failure{category, err}
}

// Recategorize gives an error a category in place of the one that it has: the same
// error means something else here.
func Recategorize(category backupapi.Category, err error) error {
	if err == nil {
		return nil
	}
	return failure{category, err}
}

// Category returns why an error happened. A deadline that passed or a signal
// explains every later error.
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

// DamagedArchive gives the category verify to an error about bytes that are not a
// whole archive: the backup is damaged, and the store and the server are not.
func DamagedArchive(err error) error {
	if errors.Is(err, pgarchive.ErrFormat) {
		return Fail(backupapi.CategoryVerify, err)
	}
	return err
}

// Summarize joins the first lines into one short message and counts the rest.
func Summarize(lines []string) string {
	const shown = 5
	if len(lines) <= shown {
		return strings.Join(lines, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(lines[:shown], "; "), len(lines)-shown)
}
