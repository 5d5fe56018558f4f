package backup

import (
	"maps"
	"slices"
	"strings"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/validate"
)

// maxMessageBytes bounds messages in the status annotation. Events and the pods have
// them in full.
const maxMessageBytes = 300

// applyResult returns the status with an attempt added. It does not modify slices or
// maps that s shares with other copies.
func applyResult(s backupapi.Status, a attempt) backupapi.Status {
	s.Counted = append(slices.Clone(s.Counted), a.id)
	r := a.result
	latest := &backupapi.Attempt{
		Verb: a.verb, Job: a.job, Finished: a.finished, Seconds: r.Seconds,
		Category: r.Category, Message: validate.Truncate(r.Message, maxMessageBytes),
	}
	if !r.Succeeded() {
		s.LastFailure = newest(s.LastFailure, latest)
		s.Failures = maps.Clone(s.Failures)
		if s.Failures == nil {
			s.Failures = map[backupapi.Category]int{}
		}
		s.Failures[r.Category]++
	}
	switch a.verb {
	case resources.VerbRun:
		s.LastRun = newest(s.LastRun, latest)
	case resources.VerbDrill:
		s.LastDrill = newest(s.LastDrill, latest)
	default:
		return s
	}
	if r.DryRun {
		return s
	}
	s.History = s.History.With(beganAt(a, s.TimeZone), dayResult(a))
	s.Databases = slices.Clone(s.Databases)
	late := latest != s.LastRun && latest != s.LastDrill
	for _, d := range r.Databases {
		applyDatabaseResult(&s, a, d, late)
	}
	if r.Succeeded() && a.verb == resources.VerbRun && !late {
		applyUnreported(&s, r)
	}
	slices.SortFunc(s.Databases, func(a, b backupapi.DatabaseStatus) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// dayResult returns what an attempt of a run or a drill adds to its day. A drill that had
// no database to restore proves nothing.
func dayResult(a attempt) backupapi.DayResult {
	ok := a.result.Succeeded()
	switch {
	case a.verb == resources.VerbDrill && !ok:
		return backupapi.DayRestoreFailed
	case a.verb == resources.VerbDrill && (len(a.result.Databases) > 0 || a.result.Truncated):
		return backupapi.DayProven
	case a.verb == resources.VerbDrill:
		return 0
	case !ok:
		return backupapi.DayFailed
	}
	return backupapi.DaySucceeded
}

// beganAt returns when an attempt began, in the time zone of its schedule: a run that
// begins before midnight belongs to the day before.
func beganAt(a attempt, zone string) time.Time {
	began := a.result.Started
	if began.IsZero() || began.After(a.finished) {
		began = a.finished
	}
	if location, err := time.LoadLocation(zone); err == nil {
		began = began.In(location)
	}
	return began
}

// newest returns the attempt that finished last. Attempts can arrive out of order.
func newest(known, latest *backupapi.Attempt) *backupapi.Attempt {
	if known != nil && known.Finished.After(latest.Finished) {
		return known
	}
	return latest
}

// applyDatabaseResult adds the result of one database. A late attempt, one that
// finished before an attempt already counted, does not change the current state.
func applyDatabaseResult(s *backupapi.Status, a attempt, d backupapi.DatabaseResult, late bool) {
	known := databaseOf(s, d.Name)
	known.LastSuccess, known.LastVerified = later(known.LastSuccess, d.LastSuccess), later(known.LastVerified, d.LastVerified)
	known.LastCopied = later(known.LastCopied, d.LastCopied)
	failed := d.Category != backupapi.CategorySucceeded
	switch {
	case failed && !late:
		known.Failure, known.FailedAt, known.Message = d.Category, &a.finished, validate.Truncate(d.Message, maxMessageBytes)
	case !failed && !late:
		known.Failure, known.FailedAt, known.Message = backupapi.CategorySucceeded, nil, ""
	}
	if !late && (!failed || d.NotGood > 0) { // a run that failed may not have counted them
		known.NotGood = d.NotGood
	}
	if failed || late && known.Backup != "" {
		return
	}
	if a.verb == resources.VerbDrill {
		known.DrillSeconds = d.Seconds
		return
	}
	known.Backup, known.Bytes, known.Stored, known.Rows = d.Backup, d.Bytes, d.Stored, d.Rows
	known.Seconds, known.Anomalies, known.PruneRefused = d.Seconds, d.Anomalies, d.PruneRefused != ""
}

// applyUnreported handles the databases that a successful run does not name. If the
// report was truncated they succeeded; otherwise they no longer exist.
func applyUnreported(s *backupapi.Status, r backupapi.Result) {
	missing := missingDatabases(*s, r)
	s.Databases = slices.DeleteFunc(s.Databases, func(d backupapi.DatabaseStatus) bool { return slices.Contains(missing, d.Name) })
	for i := range s.Databases {
		if !reports(r, s.Databases[i].Name) {
			s.Databases[i].LastSuccess = later(s.Databases[i].LastSuccess, &r.Started)
		}
	}
}

// missingDatabases returns the databases of the status that a complete, successful
// report does not name: dropped, renamed or no longer selected.
func missingDatabases(s backupapi.Status, r backupapi.Result) (names []string) {
	if r.Verb != resources.VerbRun || r.DryRun || r.Truncated || !r.Succeeded() {
		return nil
	}
	for _, d := range s.Databases {
		if !reports(r, d.Name) {
			names = append(names, d.Name)
		}
	}
	return names
}

func reports(r backupapi.Result, database string) bool {
	return slices.ContainsFunc(r.Databases, func(d backupapi.DatabaseResult) bool { return d.Name == database })
}

func databaseOf(s *backupapi.Status, name string) *backupapi.DatabaseStatus {
	for i := range s.Databases {
		if s.Databases[i].Name == name {
			return &s.Databases[i]
		}
	}
	s.Databases = append(s.Databases, backupapi.DatabaseStatus{Name: name})
	return &s.Databases[len(s.Databases)-1]
}

func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
