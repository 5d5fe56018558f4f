package backup

import (
	"fmt"
	"slices"
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
