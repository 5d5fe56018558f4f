package backup

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	backupapi "github.com/nova/novawire/api/backup"
)

// longestNote is the API server's limit on an Event's note, in bytes.
const longestNote = 1024

// tell records an Event on the StatefulSet or, where it is gone, on the CronJob.
func (r *reconciler) tell(it *round, kind, reason, format string, args ...any) {
	r.tellOf(it, nil, kind, reason, format, args...)
}

// tellOf is tell about what another object did. Events of one reason about the
// same two objects are counted as one, with the note of the first: each pod's
// are its own because of this.
func (r *reconciler) tellOf(it *round, of *corev1.ObjectReference, kind, reason, format string, args ...any) {
	var about runtime.Object
	switch {
	case it.set != nil:
		about = it.set
	case it.backup != nil:
		about = it.backup
	case it.drill != nil:
		about = it.drill
	default:
		return
	}
	var related runtime.Object
	if of != nil {
		related = of
	}
	r.events.Eventf(about, related, kind, reason, "Backup", "%s", clip(fmt.Sprintf(format, args...), longestNote-len("…")))
}

// tellSuspension tells once that nothing starts by itself any more, or does again.
func (r *reconciler) tellSuspension(it *round, reason string) {
	switch {
	case reason == it.status.Suspended:
	case reason != "":
		r.tell(it, corev1.EventTypeWarning, "BackupSuspended", "%s", reason)
	default:
		r.tell(it, corev1.EventTypeNormal, "BackupResumed", "no longer: %s", it.status.Suspended)
	}
	it.status.Suspended = reason
}

// reasons of what pods did: when it succeeded, and when it failed.
var reasons = map[string][2]string{
	VerbRun:     {"BackupSucceeded", "BackupFailed"},
	VerbDrill:   {"DrillPassed", "DrillFailed"},
	VerbRestore: {"RestoreSucceeded", "RestoreFailed"},
}

// tellAttempt records what a pod did, before it is folded into the status.
func (r *reconciler) tellAttempt(it *round, a attempt) {
	reason, ok := reasons[a.verb]
	if !ok {
		return
	}
	result := a.result
	switch {
	case result.Succeeded():
		r.tellOf(it, a.of, corev1.EventTypeNormal, reason[0], "%s: %s", a.job, summary(result))
	case result.Category == backupapi.CategoryNotStarted:
		r.tellOf(it, a.of, corev1.EventTypeWarning, "BackupNotStarted", "%s: %s", a.job, result.Message)
	default:
		r.tellOf(it, a.of, corev1.EventTypeWarning, reason[1], "%s: %s: %s", a.job, result.Category, failure(result))
	}
	if odd := oddities(it.status, result); len(odd) > 0 {
		r.tellOf(it, a.of, corev1.EventTypeWarning, "BackupAnomaly", "%s: %s; the backup counts, pg-backup list names the tables", a.job, strings.Join(odd, "; "))
	}
}

// oddities are what differs suspiciously from the run before.
func oddities(before backupapi.Status, r backupapi.Result) (lines []string) {
	for _, d := range r.Databases {
		if d.Anomalies > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d tables vanished or lost nine tenths of their rows", d.Name, d.Anomalies))
		}
	}
	for _, name := range vanished(before, r) {
		lines = append(lines, fmt.Sprintf("database %s is no longer there, and its backups are kept", name))
	}
	return lines
}

func summary(r backupapi.Result) string {
	parts := make([]string, 0, len(r.Databases))
	for _, d := range r.Databases {
		parts = append(parts, fmt.Sprintf("%s %s, %d rows, %s", d.Name, d.Backup, d.Rows, time.Duration(d.Seconds*float64(time.Second)).Round(100*time.Millisecond)))
	}
	if r.DryRun {
		parts = append([]string{"dry run"}, parts...)
	}
	return strings.Join(parts, "; ")
}

// failure names the databases that failed; others of the run may have succeeded.
func failure(r backupapi.Result) string {
	message := r.Message
	for _, d := range r.Databases {
		if d.Category != backupapi.CategorySucceeded && !strings.Contains(message, d.Message) {
			message += fmt.Sprintf("; %s: %s: %s", d.Name, d.Category, d.Message)
		}
	}
	return message
}
