package backup

import (
	"context"
	"errors"

	"github.com/nova/novawire"
)

const (
	storeCategory  = novawire.BackupStore
	verifyCategory = novawire.BackupVerify
)

// failure is an error with its category.
type failure struct {
	category novawire.BackupCategory
	err      error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// Fail gives an error its category. A category that it has already stays: the
// place that knows most is the one where it happened.
func Fail(category novawire.BackupCategory, err error) error {
	var known failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return failure{category, err}
}

// Category tells why an error happened. A deadline that passed and a signal
// explain whatever went wrong after them.
func Category(ctx context.Context, err error) novawire.BackupCategory {
	if err == nil {
		return novawire.BackupSucceeded
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return novawire.BackupDeadline
	case cause != nil:
		return novawire.BackupInterrupted
	}
	var known failure
	if errors.As(err, &known) {
		return known.category
	}
	switch {
	case errors.Is(err, ErrLocked):
		return novawire.BackupLockHeld
	case errors.Is(err, ErrNoDatabase):
		return novawire.BackupSource
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrExists):
		return novawire.BackupStore
	}
	return novawire.BackupUnexpected
}
