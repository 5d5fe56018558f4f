package backup

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// maxNoteBytes is the API server's limit on an Event's note, in bytes.
const maxNoteBytes = 1024

// recordEvent records an Event on the StatefulSet or, where it is gone, on the CronJob.
func (r *reconciler) recordEvent(it *state, kind, reason, format string, args ...any) {
	r.recordRelatedEvent(it, nil, kind, reason, format, args...)
}

// recordRelatedEvent is tell about what another object did. Events of one reason about the
// same two objects are counted as one, with the note of the first: each pod's
// are its own because of this.
func (r *reconciler) recordRelatedEvent(it *state, of *corev1.ObjectReference, kind, reason, format string, args ...any) {
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
	r.events.Eventf(about, related, kind, reason, "Backup", "%s", clip(fmt.Sprintf(format, args...), maxNoteBytes-len("…")))
}

// setSuspended tells once that nothing starts by itself any more, or does again.
func (r *reconciler) setSuspended(it *state, reason string) {
	switch {
	case reason == it.status.Suspended:
	case reason != "":
		r.recordEvent(it, corev1.EventTypeWarning, "BackupSuspended", "%s", reason)
	default:
		r.recordEvent(it, corev1.EventTypeNormal, "BackupResumed", "no longer: %s", it.status.Suspended)
	}
	it.status.Suspended = reason
}

// eventReasons of what pods did: when it succeeded, and when it failed.
var eventReasons = map[string][2]string{
	resources.VerbRun:     {"BackupSucceeded", "BackupFailed"},
	resources.VerbDrill:   {"DrillPassed", "DrillFailed"},
	resources.VerbRestore: {"RestoreSucceeded", "RestoreFailed"},
}

// recordAttempt records what a pod did, before it is folded into the status.
func (r *reconciler) recordAttempt(it *state, a attempt) {
	reason, ok := eventReasons[a.verb]
	if !ok {
		return
	}
	result := a.result
	switch {
	case result.Succeeded():
		r.recordRelatedEvent(it, a.object, corev1.EventTypeNormal, reason[0], "%s: %s", a.job, summary(result))
	case result.Category == backupapi.CategoryNotStarted:
		r.recordRelatedEvent(it, a.object, corev1.EventTypeWarning, "BackupNotStarted", "%s: %s", a.job, result.Message)
	default:
		r.recordRelatedEvent(it, a.object, corev1.EventTypeWarning, reason[1], "%s: %s: %s", a.job, result.Category, failure(result))
	}
	if odd := anomalyNotes(it.status, result); len(odd) > 0 {
		r.recordRelatedEvent(it, a.object, corev1.EventTypeWarning, "BackupAnomaly", "%s: %s; the backup counts, pg-backup list names the tables", a.job, strings.Join(odd, "; "))
	}
}

// anomalyNotes are what differs suspiciously from the run before.
func anomalyNotes(before backupapi.Status, r backupapi.Result) (lines []string) {
	for _, d := range r.Databases {
		if d.Anomalies > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d tables vanished or lost nine tenths of their rows", d.Name, d.Anomalies))
		}
	}
	for _, name := range missingDatabases(before, r) {
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
