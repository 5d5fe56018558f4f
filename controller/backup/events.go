package backup

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/validate"
)

// recordEvent records an Event about the source or, if it does not exist,
// about its CronJob.
func (r *reconciler) recordEvent(s *state, eventType, reason, format string, args ...any) {
	r.recordRelatedEvent(s, nil, eventType, reason, format, args...)
}

// recordRelatedEvent records an Event that names a second object, such as the pod
// that failed. The event recorder counts Events of one reason about the same two
// objects as one and keeps the first note, so each pod gets an Event of its own.
func (r *reconciler) recordRelatedEvent(s *state, related *corev1.ObjectReference, eventType, reason, format string, args ...any) {
	var regarding, second runtime.Object
	switch {
	case s.object != nil:
		regarding = s.object
	case s.backup != nil:
		regarding = s.backup
	case s.drill != nil:
		regarding = s.drill
	default:
		return
	}
	if related != nil {
		second = related
	}
	r.events.Eventf(regarding, second, eventType, reason, "Backup", "%s", validate.EventNote(fmt.Sprintf(format, args...)))
}

// eventReasons are the reasons of Events about attempts, by verb. Attempts of
// other verbs are not recorded.
var eventReasons = map[string]struct{ succeeded, failed string }{
	resources.VerbRun:     {"BackupSucceeded", "BackupFailed"},
	resources.VerbDrill:   {"DrillPassed", "DrillFailed"},
	resources.VerbRestore: {"RestoreSucceeded", "RestoreFailed"},
}

// recordAttemptEvent records what a pod did. It compares the result with the
// status before [applyResult] updates it.
func (r *reconciler) recordAttemptEvent(s *state, a attempt) {
	reason, ok := eventReasons[a.verb]
	if !ok {
		return
	}
	result := a.result
	switch {
	case result.Succeeded():
		r.recordRelatedEvent(s, a.object, corev1.EventTypeNormal, reason.succeeded, "%s: %s", a.job, summary(result))
	case result.Category == backupapi.CategoryNotStarted:
		r.recordRelatedEvent(s, a.object, corev1.EventTypeWarning, "BackupNotStarted", "%s: %s", a.job, result.Message)
	default:
		r.recordRelatedEvent(s, a.object, corev1.EventTypeWarning, reason.failed, "%s: %s: %s", a.job, result.Category, failure(result))
	}
	if notes := anomalyNotes(s.status, result); len(notes) > 0 {
		r.recordRelatedEvent(s, a.object, corev1.EventTypeWarning, "BackupAnomaly", "%s: %s; the backup is valid, pg-backup list names the tables", a.job, strings.Join(notes, "; "))
	}
}

// anomalyNotes describes the suspicious differences from the previous backup.
func anomalyNotes(before backupapi.Status, r backupapi.Result) (lines []string) {
	for _, d := range r.Databases {
		if d.Anomalies > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d tables disappeared or lost 90 %% of their rows", d.Name, d.Anomalies))
		}
	}
	for _, name := range missingDatabases(before, r) {
		lines = append(lines, fmt.Sprintf("database %s no longer exists; its backups are kept", name))
	}
	return lines
}

func summary(r backupapi.Result) string {
	parts := make([]string, 0, len(r.Databases))
	for _, d := range r.Databases {
		parts = append(parts, fmt.Sprintf("%s %s, %d rows, %s", d.Name, d.Backup, d.Rows, time.Duration(d.Seconds*float64(time.Second)).Round(100*time.Millisecond)))
	}
	for _, warning := range r.Warnings {
		parts = append(parts, "warning: "+warning)
	}
	if r.DryRun {
		parts = append([]string{"dry run"}, parts...)
	}
	return strings.Join(parts, "; ")
}

// failure returns the message of a failed result and of each database that failed.
func failure(r backupapi.Result) string {
	message := r.Message
	for _, d := range r.Databases {
		if d.Category != backupapi.CategorySucceeded && !strings.Contains(message, d.Message) {
			message += fmt.Sprintf("; %s: %s: %s", d.Name, d.Category, d.Message)
		}
	}
	return message
}
