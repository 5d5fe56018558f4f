// Package retention decides which backups are deleted, and deletes them.
//
// A backup that is not good (damaged, unreadable, empty, incomplete, misdated or unsigned) is
// no way back: it never counts towards what is kept, and while a database has no
// good backup, nothing of it is deleted.
package retention

import (
	"errors"
	"fmt"
	"time"

	"github.com/nova/novawire/backup"
)

// Policy says what retention keeps.
type Policy struct {
	Days        int  // a younger backup is never deleted
	KeepMinimum int  // the number of newest good backups that are never deleted
	TakeMany    bool // delete even if that is more than half of the backups
}

// Decision is what retention decides about one backup.
type Decision struct {
	Record backup.Record
	Delete bool
	Reason string
}

// Reasons of decisions.
const (
	reasonYoung    = "younger than the retention"
	reasonNewest   = "among the newest good ones, which are always kept"
	reasonVerified = "the newest that a drill restored"
	reasonHeld     = "held"
	reasonOld      = "older than the retention"
	reasonUnknown  = "kept, because retention deletes nothing that it cannot judge"
	reasonMisdated = "kept, because its age is not known"
	reasonLast     = "kept, because there is no good backup"
)

// maxDays bounds the retention: a century. It keeps the arithmetic within dates.
const maxDays = 36500

// Retain decides about the backups of one database, the newest first. A backup is
// deleted only if every rule allows it.
func Retain(backups backup.Records, policy Policy, now time.Time) (decisions []Decision) {
	limit := now.AddDate(0, 0, -min(max(policy.Days, 1), maxDays))
	misdated := func(r backup.Record) bool {
		return r.Condition == backup.Misdated || r.Entry.Taken.After(now.Add(maxSkew))
	}
	counts := func(r backup.Record) bool { return r.Good() && !misdated(r) }
	_, anyCounts := backups.Newest(counts)
	newestVerified, _ := backups.Newest(func(r backup.Record) bool { return r.Verified() && !misdated(r) })
	counted := 0
	for _, r := range backups {
		d := Decision{Record: r}
		if counts(r) {
			counted++
		}
		switch {
		case r.Entry.Held:
			d.Reason = reasonHeld
		case r.Condition == backup.Unreadable || r.Condition == backup.Unproven || r.Condition == backup.Unsigned:
			d.Reason = reasonUnknown
		case misdated(r):
			d.Reason = reasonMisdated
		case !anyCounts:
			d.Reason = reasonLast
		case r.Good() && counted <= max(policy.KeepMinimum, 1):
			d.Reason = reasonNewest
		case r.Good() && r.Entry.ID == newestVerified.Entry.ID:
			d.Reason = reasonVerified
		case r.Entry.Taken.After(limit):
			d.Reason = reasonYoung
		default:
			d.Delete, d.Reason = true, reasonOld
		}
		if r.Problem != "" {
			d.Reason = fmt.Sprintf("%s; %s: %s", d.Reason, r.Condition, r.Problem)
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// ErrTooMany says that retention would delete more than half of a database's backups
// and deleted nothing.
var ErrTooMany = errors.New("retention would delete more than half of the backups")

// checkShare returns [ErrTooMany] where too many backups would be deleted at once.
func checkShare(decisions []Decision, policy Policy) error {
	deleted := 0
	for _, d := range decisions {
		if d.Delete {
			deleted++
		}
	}
	if policy.TakeMany || 2*deleted <= len(decisions) {
		return nil
	}
	return fmt.Errorf("%w: %d of %d; nothing was deleted: look at `pg-backup prune --dry-run`, then run `pg-backup prune --take-many` once, or raise RETENTION_DAYS", ErrTooMany, deleted, len(decisions))
}

// maxSkew is how far the program's clock and the store's may differ. A clock that is
// wrong makes every backup look old.
const maxSkew = time.Hour

func checkSkew(ours, theirs time.Time) error {
	if d := ours.Sub(theirs).Abs(); d > maxSkew {
		return fmt.Errorf("clock skew: this clock and the store's differ by %s; nothing was deleted: correct the clock", d.Round(time.Second))
	}
	return nil
}
