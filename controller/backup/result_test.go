package backup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

func runOf(minute int, category backupapi.Category, names ...string) attempt {
	at := snapshot.Add(time.Duration(minute) * time.Minute)
	r := backupapi.Result{Verb: resources.VerbRun, Started: at, Category: category}
	for _, name := range names {
		d := backupapi.DatabaseResult{Name: name, Category: category, Rows: int64(minute)}
		if category == backupapi.CategorySucceeded {
			d.Backup, d.LastSuccess = fmt.Sprint("at-", minute), &at
		}
		r.Databases = append(r.Databases, d)
	}
	return attempt{id: fmt.Sprint(minute), job: fmt.Sprint("night-", minute), verb: resources.VerbRun, finished: at, result: r}
}

// Pods are not always seen in the order in which they ended: the newest decides the
// current state, and each is counted.
func TestApplyResult_OrderDoesNotMatter(t *testing.T) {
	attempts := []attempt{
		runOf(1, backupapi.CategorySucceeded, "nova_auth"),
		runOf(2, backupapi.CategorySource, "nova_auth"),
		runOf(3, backupapi.CategorySucceeded, "nova_auth"),
		runOf(4, backupapi.CategoryStore, "nova_auth"),
	}
	fields := func(order []attempt) backupapi.Status {
		var s backupapi.Status
		for _, a := range order {
			s = applyResult(s, a)
		}
		s.Counted = nil
		return s
	}
	want := fields(attempts)
	if d := want.Databases[0]; d.Backup != "at-3" || d.Failure != backupapi.CategoryStore || want.Failures[backupapi.CategorySource] != 1 {
		t.Fatalf("in order: %s", want.Encode())
	}
	backwards := slices.Clone(attempts)
	slices.Reverse(backwards)
	got := fields(backwards)
	if !got.Databases[0].LastSuccess.Equal(*want.Databases[0].LastSuccess) || got.Databases[0].Failure != want.Databases[0].Failure {
		t.Errorf("backwards: %s", got.Encode())
	}
	if diff := cmp.Diff(want.LastFailure, got.LastFailure); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.Failures, got.Failures); diff != "" {
		t.Error(diff)
	}
}

func TestApplyResult_TruncatedReportKeepsUnnamedDatabases(t *testing.T) {
	s := applyResult(backupapi.Status{}, runOf(1, backupapi.CategorySucceeded, "a", "b"))
	cut := runOf(2, backupapi.CategorySucceeded)
	cut.result.Truncated = true
	s = applyResult(s, cut)
	if len(s.Databases) != 2 || !s.Databases[1].LastSuccess.Equal(cut.result.Started) {
		t.Errorf("%s", s.Encode())
	}
}

func TestApplyResult_DoesNotModifyItsArgument(t *testing.T) {
	before := applyResult(backupapi.Status{}, runOf(1, backupapi.CategorySource, "a"))
	text := before.Encode()
	applyResult(before, runOf(2, backupapi.CategorySource, "a", "b"))
	if diff := cmp.Diff(text, before.Encode()); diff != "" {
		t.Errorf("the status before changed:\n%s", diff)
	}
}

func TestApplyResult_History(t *testing.T) {
	drill := func(category backupapi.Category, names ...string) attempt {
		a := runOf(0, category, names...)
		a.verb, a.result.Verb = resources.VerbDrill, resources.VerbDrill
		return a
	}
	dry := runOf(0, backupapi.CategorySucceeded, "a")
	dry.result.DryRun = true
	verify := runOf(0, backupapi.CategorySucceeded, "a")
	verify.verb = resources.VerbVerify
	overnight := runOf(0, backupapi.CategorySucceeded, "a")
	overnight.result.Started = time.Date(2026, 11, 25, 22, 30, 0, 0, time.UTC)
	overnight.finished = overnight.result.Started.Add(2 * time.Hour)
	ahead := overnight
	ahead.result.Started = overnight.finished.AddDate(1, 0, 0)
	for name, c := range map[string]struct {
		attempts []attempt
		zone     string
		want     string // until, days
	}{
		"a run that succeeds":                             {[]attempt{overnight}, "", "2026-11-25 1"},
		"the time zone of the schedule decides the day":   {[]attempt{overnight}, "Europe/Berlin", "2026-11-25 1"},
		"the time zone of the schedule is ahead":          {[]attempt{overnight}, "Asia/Tokyo", "2026-11-26 1"},
		"an unknown time zone is UTC":                     {[]attempt{overnight}, "Mars/Crater", "2026-11-25 1"},
		"a clock that is ahead does not drop the history": {[]attempt{ahead}, "", "2026-11-26 1"},
		"a run that fails and is repeated":                {[]attempt{runOf(0, backupapi.CategorySource, "a"), runOf(1, backupapi.CategorySucceeded, "a")}, "", "3"},
		"a drill that restores":                           {[]attempt{drill(backupapi.CategorySucceeded, "a")}, "", "4"},
		"a drill that fails":                              {[]attempt{drill(backupapi.CategoryVerify, "a")}, "", "8"},
		"a drill without a database proves nothing":       {[]attempt{drill(backupapi.CategorySucceeded)}, "", "none"},
		"a dry run":    {[]attempt{dry}, "", "none"},
		"another verb": {[]attempt{verify}, "", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			s := backupapi.Status{TimeZone: c.zone}
			for _, a := range c.attempts {
				s = applyResult(s, a)
			}
			got := "none"
			if s.History != nil {
				got = s.History.Until + " " + s.History.Days
			}
			if !strings.HasSuffix(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
