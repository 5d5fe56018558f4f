// Package retention decides which backups are deleted, and deletes them.
package retention

import (
	"fmt"
	"time"

	"github.com/nova/novawire/backup"
)

// Policy says what retention keeps.
type Policy struct {
	Days        int  // nothing younger is deleted
	KeepMinimum int  // the newest that are kept, however old
	TakeMany    bool // delete more than half if it comes to that
}

// Decision is what retention says of one backup.
type Decision struct {
	Entry  backup.Entry
	Delete bool
	Reason string
}

// Reasons of decisions.
const (
	reasonYoung    = "younger than the retention"
	reasonNewest   = "among the newest that are always kept"
	reasonVerified = "the newest that a drill restored"
	reasonHeld     = "held"
	reasonOld      = "older than the retention"
)

// Retain decides about one database's backups, the newest first. verified is the
// id of the newest that a drill restored, if any. A backup goes only if every
// rule lets it.
func Retain(backups []backup.Entry, verified string, policy Policy, now time.Time) []Decision {
	var decisions []Decision
	limit := now.AddDate(0, 0, -policy.Days)
	for i, e := range backups {
		d := Decision{Entry: e}
		switch {
		case e.Held:
			d.Reason = reasonHeld
		case i < policy.KeepMinimum:
			d.Reason = reasonNewest
		case e.ID == verified:
			d.Reason = reasonVerified
		case e.Taken.After(limit):
			d.Reason = reasonYoung
		default:
			d.Delete, d.Reason = true, reasonOld
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// checkShare says why so many deletions must not happen unasked.
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
	return fmt.Errorf("retention would delete %d of %d backups, more than half: look at them, then prune with --take-many", deleted, len(decisions))
}

// maxSkew is how far the program's clock and the store's may be apart. A clock
// that is wrong makes every backup look old.
const maxSkew = time.Hour

func checkSkew(ours, theirs time.Time) error {
	if d := ours.Sub(theirs).Abs(); d > maxSkew {
		return fmt.Errorf("this clock and the store's are %s apart: nothing is deleted", d.Round(time.Second))
	}
	return nil
}
