package backup

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// TestAttemptOf is the table of what the state of a pod says about its run.
func TestAttemptOf(t *testing.T) {
	created, ended := snapshot, snapshot.Add(3*time.Minute)
	terminated := func(code int32, reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message, StartedAt: metav1.NewTime(ended.Add(-time.Minute)), FinishedAt: metav1.NewTime(ended)}}
	}
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "m"}}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	main := func(s corev1.ContainerState) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{{Name: "another", State: terminated(7, "", "")}, {Name: resources.Container, State: s}}
	}
	install := func(s corev1.ContainerState) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{{Name: "first", State: terminated(0, "Completed", "")}, {Name: "install", State: s}}
	}
	report := string(backupapi.Result{Verb: resources.VerbRun, Started: created, Seconds: 5}.Encode())
	unschedulable := func(kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) []corev1.PodCondition {
		return []corev1.PodCondition{{Type: kind, Status: status, Reason: reason, Message: "no node has memory", LastTransitionTime: metav1.NewTime(created)}}
	}
	type outcome struct {
		id       string
		finished time.Time
		category backupapi.Category
		message  string
		seconds  float64
	}
	const uid, waits = "01234567", "01234567/waits"
	for name, c := range map[string]struct {
		status  corev1.PodStatus
		deleted bool
		want    outcome // without id: there is no attempt
	}{
		"pending":                    {corev1.PodStatus{Phase: corev1.PodPending}, false, outcome{}},
		"running":                    {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: main(running)}, false, outcome{}},
		"another container ended":    {corev1.PodStatus{ContainerStatuses: main(running)[:1]}, false, outcome{}},
		"ended with a report":        {corev1.PodStatus{ContainerStatuses: main(terminated(0, "Completed", report))}, false, outcome{uid, ended, "", "", 5}},
		"ended without a report":     {corev1.PodStatus{ContainerStatuses: main(terminated(0, "", ""))}, false, outcome{uid, ended, backupapi.CategoryUnexpected, "exit code 0 without a report", 60}},
		"failed without a report":    {corev1.PodStatus{ContainerStatuses: main(terminated(65, "Error", ""))}, false, outcome{uid, ended, backupapi.CategoryOf(65), "exit code 65 without a report", 60}},
		"killed for its memory":      {corev1.PodStatus{ContainerStatuses: main(terminated(137, "OOMKilled", ""))}, false, outcome{uid, ended, backupapi.CategoryOf(137), "OOMKilled: exit code 137 without a report", 60}},
		"the init container failed":  {corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: install(terminated(1, "Error", " no space \n"))}, false, outcome{uid, ended, backupapi.CategoryNotStarted, "installing pg-backup: exit code 1: no space", 0}},
		"the init container retries": {corev1.PodStatus{Phase: corev1.PodPending, InitContainerStatuses: install(terminated(1, "Error", ""))}, false, outcome{}},
		"the init containers ended":  {corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "disk", InitContainerStatuses: install(terminated(0, "", ""))}, false, outcome{uid, created, backupapi.CategoryKilled, "Evicted disk", 0}},
		"the init container runs":    {corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: install(running)}, false, outcome{uid, created, backupapi.CategoryKilled, "", 0}},
		"deleted before it ran":      {corev1.PodStatus{Phase: corev1.PodPending}, true, outcome{waits, ended, backupapi.CategoryNotStarted, "the pod was deleted before it ran", 0}},
		"deleted while it ran":       {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: main(running)}, true, outcome{uid, ended, backupapi.CategoryKilled, "the pod was deleted while it ran and left no report", 0}},
		"no image":                   {corev1.PodStatus{ContainerStatuses: main(waiting("ImagePullBackOff"))}, false, outcome{waits, created, backupapi.CategoryNotStarted, "container pg-backup is waiting: ImagePullBackOff: m", 0}},
		"no image of the installer":  {corev1.PodStatus{InitContainerStatuses: install(waiting("ErrImageNeverPull"))}, false, outcome{waits, created, backupapi.CategoryNotStarted, "container install is waiting: ErrImageNeverPull: m", 0}},
		"a container is being made":  {corev1.PodStatus{ContainerStatuses: main(waiting("ContainerCreating"))}, false, outcome{}},
		"no node":                    {corev1.PodStatus{Conditions: unschedulable(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable)}, false, outcome{waits, created, backupapi.CategoryNotStarted, "the pod cannot be scheduled: no node has memory", 0}},
		"a node":                     {corev1.PodStatus{Conditions: unschedulable(corev1.PodScheduled, corev1.ConditionTrue, corev1.PodReasonUnschedulable)}, false, outcome{}},
		"a gate":                     {corev1.PodStatus{Conditions: unschedulable(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonSchedulingGated)}, false, outcome{}},
		"another condition":          {corev1.PodStatus{Conditions: unschedulable(corev1.PodReady, corev1.ConditionFalse, corev1.PodReasonUnschedulable)}, false, outcome{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Name: "night-1-abc", Namespace: "nova", UID: "0123456789", CreationTimestamp: metav1.NewTime(created),
				Labels: map[string]string{resources.LabelVerb: resources.VerbRun, batchv1.JobNameLabel: "night-1"},
			}, Status: c.status}
			if c.deleted {
				deletion := metav1.NewTime(ended)
				p.DeletionTimestamp = &deletion
			}
			a, ok := attemptOf(p, c.deleted)
			if ok != (c.want.id != "") {
				t.Fatalf("attempt %t: %+v", ok, a)
			}
			got := outcome{a.id, a.finished, a.result.Category, a.result.Message, a.result.Seconds}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if ok && (a.job != "night-1" || a.verb != resources.VerbRun || a.result.Verb != resources.VerbRun || a.object.Name != p.Name || a.result.Started.IsZero()) {
				t.Errorf("the attempt is not that of the pod: %+v", a)
			}
		})
	}
}

// A pod whose container ended without times has the time of its last condition.
func TestFinishedAt_LastCondition(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(snapshot)}}
	for _, minute := range []int{1, 5, 3} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{LastTransitionTime: metav1.NewTime(snapshot.Add(time.Duration(minute) * time.Minute))})
	}
	if got, want := finishedAt(p, &corev1.ContainerStateTerminated{}), snapshot.Add(5*time.Minute); !got.Equal(want) {
		t.Errorf("%s, want %s", got, want)
	}
	p.Status.Conditions = nil
	if got := finishedAt(p, &corev1.ContainerStateTerminated{}); !got.Equal(snapshot) {
		t.Errorf("%s, want %s", got, snapshot)
	}
}

func TestAttemptOfJob(t *testing.T) {
	failed := func(kind batchv1.JobConditionType, status corev1.ConditionStatus) []batchv1.JobCondition {
		return []batchv1.JobCondition{{Type: kind, Status: status, Reason: "BackoffLimitExceeded", Message: "exceeded quota", LastTransitionTime: metav1.NewTime(snapshot.Add(time.Minute))}}
	}
	for name, c := range map[string]struct {
		status batchv1.JobStatus
		want   bool
	}{
		"no condition":         {batchv1.JobStatus{}, false},
		"failed without a pod": {batchv1.JobStatus{Conditions: failed(batchv1.JobFailed, corev1.ConditionTrue)}, true},
		"will not fail":        {batchv1.JobStatus{Conditions: failed(batchv1.JobFailed, corev1.ConditionFalse)}, false},
		"complete":             {batchv1.JobStatus{Conditions: failed(batchv1.JobComplete, corev1.ConditionTrue)}, false},
		"failed with a pod":    {batchv1.JobStatus{Failed: 1, Conditions: failed(batchv1.JobFailed, corev1.ConditionTrue)}, false},
		"succeeded first":      {batchv1.JobStatus{Succeeded: 1, Conditions: failed(batchv1.JobFailed, corev1.ConditionTrue)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "night-1", UID: "0123456789", Labels: map[string]string{resources.LabelVerb: resources.VerbRun}}, Status: c.status}
			a, ok := attemptOfJob(job)
			if ok != c.want {
				t.Fatalf("attempt %t", ok)
			}
			if ok && (a.id != "01234567" || a.result.Category != backupapi.CategoryNotStarted || !a.finished.Equal(snapshot.Add(time.Minute)) || !strings.HasSuffix(a.result.Message, "BackoffLimitExceeded: exceeded quota")) {
				t.Errorf("%+v", a)
			}
		})
	}
}

// drillOf is like runOf for a drill.
func drillOf(minute int, category backupapi.Category, names ...string) attempt {
	a := runOf(minute, category, names...)
	a.verb, a.result.Verb = resources.VerbDrill, resources.VerbDrill
	for i := range a.result.Databases {
		d := &a.result.Databases[i]
		d.Backup, d.LastVerified, d.LastSuccess, d.Seconds = "", d.LastSuccess, nil, 9
	}
	return a
}

func apply(attempts ...attempt) (s backupapi.Status) {
	for _, a := range attempts {
		s = applyResult(s, a)
	}
	return s
}

func names(s backupapi.Status) (list string) {
	for _, d := range s.Databases {
		list += d.Name
	}
	return list
}

func TestApplyResult(t *testing.T) {
	ok, source := backupapi.CategorySucceeded, backupapi.CategorySource
	t.Run("each attempt is counted", func(t *testing.T) {
		if s := apply(runOf(1, ok, "a"), runOf(2, source, "a")); cmp.Diff([]string{"1", "2"}, s.Counted) != "" {
			t.Errorf("%v", s.Counted)
		}
	})
	t.Run("databases are sorted", func(t *testing.T) {
		if s := apply(runOf(1, ok, "c", "a", "b")); names(s) != "abc" {
			t.Error(names(s))
		}
	})
	t.Run("a success clears the failure", func(t *testing.T) {
		if d := apply(runOf(1, source, "a"), runOf(2, ok, "a")).Databases[0]; d.Failure != "" || d.FailedAt != nil || d.Backup != "at-2" {
			t.Errorf("%+v", d)
		}
	})
	t.Run("a failure keeps the last backup", func(t *testing.T) {
		if d := apply(runOf(1, ok, "a"), runOf(2, source, "a")).Databases[0]; d.Failure != source || d.FailedAt == nil || d.Backup != "at-1" || d.Rows != 1 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("the measurements are those of the last backup", func(t *testing.T) {
		run := runOf(1, ok, "a")
		run.result.Databases[0].Seconds, run.result.Databases[0].Anomalies = 7, 2
		if d := apply(run).Databases[0]; d.Seconds != 7 || d.Anomalies != 2 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("a late success of a database without a backup is its backup", func(t *testing.T) {
		if d := apply(runOf(2, source, "a"), runOf(1, ok, "a")).Databases[0]; d.Backup != "at-1" || d.Failure != source {
			t.Errorf("%+v", d)
		}
	})
	t.Run("a drill verifies and leaves the backup", func(t *testing.T) {
		s := apply(runOf(1, ok, "a"), drillOf(2, ok, "a"))
		if d := s.Databases[0]; s.LastDrill == nil || s.LastDrill.Job != "night-2" || s.LastRun.Job != "night-1" || d.DrillSeconds != 9 || d.LastVerified == nil || d.Backup != "at-1" {
			t.Errorf("%s", s.Encode())
		}
	})
	t.Run("a drill drops no database", func(t *testing.T) {
		if s := apply(runOf(1, ok, "a", "b"), drillOf(2, ok, "a")); names(s) != "ab" || s.Databases[1].LastSuccess.After(snapshot.Add(time.Minute)) {
			t.Errorf("%s", s.Encode())
		}
	})
	t.Run("a run drops the databases that it does not name", func(t *testing.T) {
		for run, want := range map[string]string{"complete": "a", "failed": "ab", "dry": "ab", "late": "ab"} {
			next := runOf(2, ok, "a")
			switch run {
			case "failed":
				next.result.Category = source
			case "dry":
				next.result.DryRun = true
			case "late":
				next = runOf(0, ok, "a")
			}
			if s := apply(runOf(1, ok, "a", "b"), next); names(s) != want {
				t.Errorf("%s: %s", run, names(s))
			}
		}
	})
	t.Run("another verb changes no database", func(t *testing.T) {
		a := runOf(1, ok, "a")
		a.verb = "verify"
		if s := apply(a); len(s.Databases) != 0 || s.LastRun != nil || len(s.Counted) != 1 {
			t.Errorf("%s", s.Encode())
		}
	})
}

func TestMissingDatabases(t *testing.T) {
	s := apply(runOf(1, backupapi.CategorySucceeded, "a", "b"))
	for name, change := range map[string]func(*backupapi.Result){
		"a drill":              func(r *backupapi.Result) { r.Verb = resources.VerbDrill },
		"a dry run":            func(r *backupapi.Result) { r.DryRun = true },
		"a report that is cut": func(r *backupapi.Result) { r.Truncated = true },
		"a failure":            func(r *backupapi.Result) { r.Category = backupapi.CategoryStore },
	} {
		r := runOf(2, backupapi.CategorySucceeded, "a").result
		if got := missingDatabases(s, r); len(got) != 1 || got[0] != "b" {
			t.Errorf("a complete report: %v", got)
		}
		change(&r)
		if got := missingDatabases(s, r); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}
