package schedule

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/nova/novawire"
)

// longestNote is the API server's limit on an Event's note, in bytes.
const longestNote = 1024

// tell records an Event on the StatefulSet or, where it is gone, on the CronJob.
func (r *reconciler) tell(it *round, kind, reason, format string, args ...any) {
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
	r.events.Eventf(about, nil, kind, reason, "Backup", "%s", clip(fmt.Sprintf(format, args...), longestNote-len("…")))
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
		r.tell(it, corev1.EventTypeNormal, reason[0], "%s: %s", a.job, summary(result))
	case result.Category == novawire.BackupNotStarted:
		r.tell(it, corev1.EventTypeWarning, "BackupNotStarted", "%s: %s", a.job, result.Message)
	default:
		r.tell(it, corev1.EventTypeWarning, reason[1], "%s: %s: %s", a.job, result.Category, failure(result))
	}
	for _, d := range result.Databases {
		if d.Anomalies > 0 {
			r.tell(it, corev1.EventTypeWarning, "BackupAnomaly", "%s: %d tables vanished or lost nine tenths of their rows since the backup before; the backup counts: pg-backup list names them", d.Name, d.Anomalies)
		}
	}
	for _, name := range vanished(it.status, result) {
		r.tell(it, corev1.EventTypeWarning, "BackupAnomaly", "database %s is no longer there; its backups are kept", name)
	}
}

func summary(r novawire.BackupResult) string {
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
func failure(r novawire.BackupResult) string {
	message := r.Message
	for _, d := range r.Databases {
		if d.Category != novawire.BackupSucceeded && !strings.Contains(message, d.Message) {
			message += fmt.Sprintf("; %s: %s: %s", d.Name, d.Category, d.Message)
		}
	}
	return message
}
