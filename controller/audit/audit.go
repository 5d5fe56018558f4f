// Package audit answers which PostgreSQL databases of a cluster are backed up, and why
// the others are not. It recognizes them from workloads, operators' resources, Services
// and, if it may read them, Secrets. It writes nothing.
package audit

import (
	"cmp"
	"slices"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// Reason is why a database counts as unprotected, in one word: a metric's label.
type Reason string

// The reasons. [Protected] and [Exempt] need no action.
const (
	Protected        Reason = ""
	Exempt           Reason = "exempt"            // its owner says that it needs no backup
	NotRequested     Reason = "not-requested"     // no annotation
	Refused          Reason = "refused"           // an annotation is wrong, or it is not PostgreSQL
	Suspended        Reason = "suspended"         // by annotation
	NamespaceRefuses Reason = "namespace-refuses" // by the namespace's label
	NoBackupYet      Reason = "no-backup-yet"     // requested, and no run has succeeded
	NoController     Reason = "no-controller"     // requested, and no CronJob exists
)

// Database is one PostgreSQL server or connection of the cluster.
type Database struct {
	Namespace    string     `json:"namespace"`
	Kind         string     `json:"kind"`
	Name         string     `json:"name"`
	Protected    bool       `json:"protected"`
	Reason       Reason     `json:"reason,omitempty"`
	Message      string     `json:"message,omitempty"` // the reason in a sentence
	Fix          string     `json:"fix,omitempty"`     // the line that starts backups
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`
	LastVerified *time.Time `json:"lastVerified,omitempty"`
}

// NeedsAction reports whether the database is neither protected nor exempt.
func (d Database) NeedsAction() bool { return !d.Protected && d.Reason != Exempt }

// Report is the result of an audit.
type Report struct {
	Databases []Database `json:"databases"`
	// Skipped lists what could not be read, each with the reason: databases of these
	// kinds may be missing from the report.
	Skipped []string `json:"skipped,omitempty"`
}

// Unprotected returns how many databases need action.
func (r Report) Unprotected() (n int) {
	for _, d := range r.Databases {
		if d.NeedsAction() {
			n++
		}
	}
	return n
}

func (r *Report) sort() {
	slices.SortFunc(r.Databases, func(a, b Database) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	slices.Sort(r.Skipped)
}

// object is what the audit knows of one recognized object that can request backups.
type object struct {
	source          backupapi.Source
	annotations     map[string]string
	namespaceLabels map[string]string
	cronJob         map[string]string // annotations of its CronJob, nil if there is none
	engine          backupapi.Engine
	fix             string // starts backups
}

const enableFix = "annotate it " + backupapi.AnnotationEnabled + `: "true"`

// because sets why a database is not protected, and what changes that.
func (d Database) because(reason Reason, message, fix string) Database {
	d.Reason, d.Message, d.Fix = reason, message, fix
	return d
}

// withStatus adds the results that the controller recorded.
func (d Database) withStatus(s backupapi.Status) Database {
	d.LastSuccess, d.LastVerified = oldest(s.Databases)
	return d
}

// assess decides whether an object that can request backups is protected. The status is
// what the controller recorded, on the CronJob or on the object.
func assess(o object, defaults backupapi.Request) Database {
	request, refusals := backupapi.ParseSource(defaults, o.source, o.annotations)
	text := o.cronJob[backupapi.AnnotationStatus]
	if text == "" {
		text = o.annotations[backupapi.AnnotationStatus]
	}
	status, _ := backupapi.ParseStatus(text)
	d := Database{Namespace: o.source.Namespace, Kind: string(o.source.Kind), Name: o.source.Name}.withStatus(status)
	hasCronJob, because := o.cronJob != nil, d.because
	switch {
	case request.UnprotectedReason != "" && !request.Enabled:
		return because(Exempt, request.UnprotectedReason, "")
	case o.namespaceLabels[backupapi.LabelNamespace] == backupapi.NamespaceDisabled:
		return because(NamespaceRefuses, "the namespace refuses backups", "remove the label "+backupapi.LabelNamespace+" from the namespace")
	case !request.Enabled && len(refusals) > 0:
		return because(Refused, refusals[0].Error(), "correct the annotation")
	case !request.Enabled:
		return because(NotRequested, "no backup is requested", o.fix)
	case o.engine != backupapi.PostgreSQL && o.engine != "" && request.ClientImage == "":
		return because(Refused, backupapi.NotPostgreSQL(o.engine), "remove the annotation "+backupapi.AnnotationEnabled)
	case len(refusals) > 0 && !hasCronJob:
		return because(Refused, refusals[0].Error(), "correct the annotation")
	case len(status.Refused) > 0 && !hasCronJob:
		return because(Refused, status.Refused[0], "correct the annotation")
	case request.Suspend:
		return because(Suspended, backupapi.AnnotationSuspend+" is true", "remove the annotation "+backupapi.AnnotationSuspend)
	case !hasCronJob:
		return because(NoController, "the controller has not created a CronJob", "check that novawire-manager runs with --controllers, and its log")
	case d.LastSuccess == nil:
		return because(NoBackupYet, "no run has succeeded", "wait for the schedule, or run: novawire backup now "+o.source.Argument()+" -n "+o.source.Namespace)
	}
	d.Protected = true
	return d
}

// oldest returns the oldest last success and the oldest last verified restore of the
// databases, nil if one has none: a server is as safe as its worst database.
func oldest(databases []backupapi.DatabaseStatus) (success, verified *time.Time) {
	for i, d := range databases {
		if i == 0 {
			success, verified = d.LastSuccess, d.LastVerified
			continue
		}
		success, verified = earlier(success, d.LastSuccess), earlier(verified, d.LastVerified)
	}
	return success, verified
}

func earlier(a, b *time.Time) *time.Time {
	if a == nil || b == nil {
		return nil
	}
	if b.Before(*a) {
		return b
	}
	return a
}

// assessCronJob decides whether a database is protected by a CronJob whose source is not
// read: a Secret, for which the audit needs no right.
func assessCronJob(d Database, source backupapi.Source, cronJob map[string]string) Database {
	status, _ := backupapi.ParseStatus(cronJob[backupapi.AnnotationStatus])
	d = d.withStatus(status)
	suspended := cronJob[resources.AnnotationSuspendReason]
	switch {
	case status.UnprotectedReason != "" && suspended != "":
		return d.because(Exempt, status.UnprotectedReason, "")
	case suspended != "":
		return d.because(Suspended, suspended, "correct that on "+source.String())
	case d.LastSuccess == nil:
		return d.because(NoBackupYet, "no run has succeeded", "wait for the schedule, or run: novawire backup now "+source.Argument()+" -n "+source.Namespace)
	}
	d.Protected = true
	return d
}

// assessOther describes a database whose own kind cannot request a backup.
func assessOther(d Database, annotations, namespaceLabels map[string]string, message, fix string) Database {
	switch reason := annotations[backupapi.AnnotationUnprotectedReason]; {
	case reason != "":
		return d.because(Exempt, reason, "")
	case namespaceLabels[backupapi.LabelNamespace] == backupapi.NamespaceDisabled:
		return d.because(NamespaceRefuses, "the namespace refuses backups", "remove the label "+backupapi.LabelNamespace+" from the namespace")
	}
	return d.because(NotRequested, message, fix)
}
