package backup

import (
	"maps"
	"slices"
	"strings"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// maxMessageBytes keeps the annotation small: pods hold the whole of it, and Events.
const maxMessageBytes = 300

// applyResult adds an attempt to what is known. It changes nothing that s shares with
// another copy.
func applyResult(s backupapi.Status, a attempt) backupapi.Status {
	s.Counted = append(slices.Clone(s.Counted), a.id)
	r := a.result
	told := &backupapi.Attempt{
		Verb: a.verb, Job: a.job, Finished: a.finished, Seconds: r.Seconds,
		Category: r.Category, Message: clip(r.Message, maxMessageBytes),
	}
	if !r.Succeeded() {
		s.LastFailure = newest(s.LastFailure, told)
		s.Failures = maps.Clone(s.Failures)
		if s.Failures == nil {
			s.Failures = map[backupapi.Category]int{}
		}
		s.Failures[r.Category]++
	}
	switch a.verb {
	case resources.VerbRun:
		s.LastRun = newest(s.LastRun, told)
	case resources.VerbDrill:
		s.LastDrill = newest(s.LastDrill, told)
	default:
		return s
	}
	if r.DryRun {
		return s
	}
	s.Databases = slices.Clone(s.Databases)
	late := told != s.LastRun && told != s.LastDrill
	for _, d := range r.Databases {
		applyDatabaseResult(&s, a, d, late)
	}
	if r.Succeeded() && a.verb == resources.VerbRun && !late {
		applyUnreported(&s, r)
	}
	slices.SortFunc(s.Databases, func(a, b backupapi.DatabaseStatus) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// newest is the attempt that ended last: they are not always seen in order.
func newest(known, told *backupapi.Attempt) *backupapi.Attempt {
	if known != nil && known.Finished.After(told.Finished) {
		return known
	}
	return told
}

// applyDatabaseResult adds what an attempt did with one database; one that comes late
// has nothing to say of how things stand now.
func applyDatabaseResult(s *backupapi.Status, a attempt, d backupapi.DatabaseResult, late bool) {
	known := databaseOf(s, d.Name)
	known.LastSuccess, known.LastVerified = later(known.LastSuccess, d.LastSuccess), later(known.LastVerified, d.LastVerified)
	failed := d.Category != backupapi.CategorySucceeded
	switch {
	case failed && !late:
		known.Failure, known.FailedAt, known.Message = d.Category, &a.finished, clip(d.Message, maxMessageBytes)
	case !failed && !late:
		known.Failure, known.FailedAt, known.Message = backupapi.CategorySucceeded, nil, ""
	}
	if failed || late && known.Backup != "" {
		return
	}
	if a.verb == resources.VerbDrill {
		known.DrillSeconds = d.Seconds
		return
	}
	known.Backup, known.Bytes, known.Stored, known.Rows = d.Backup, d.Bytes, d.Stored, d.Rows
	known.Seconds, known.Anomalies = d.Seconds, d.Anomalies
}

// applyUnreported: a successful report that was too long left out databases that
// succeeded; one that was not names every database that there is to back up.
func applyUnreported(s *backupapi.Status, r backupapi.Result) {
	gone := missingDatabases(*s, r)
	s.Databases = slices.DeleteFunc(s.Databases, func(d backupapi.DatabaseStatus) bool { return slices.Contains(gone, d.Name) })
	for i := range s.Databases {
		if !reports(r, s.Databases[i].Name) {
			s.Databases[i].LastSuccess = later(s.Databases[i].LastSuccess, &r.Started)
		}
	}
}

// missingDatabases are the databases that were backed up once and that a complete,
// successful report does not name: dropped, renamed, or no longer asked for.
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

// clip cuts s to at most limit bytes, between runes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
