package backup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

func backedUp(s backupapi.Status) bool {
	return len(s.Databases) == 1 && s.Databases[0].LastSuccess != nil
}

var snapshot = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)

func succeeded(id string, rows int64) string {
	taken := snapshot
	return string(backupapi.Result{Verb: resources.VerbRun, Started: snapshot, Seconds: 7, Databases: []backupapi.DatabaseResult{
		{Name: "nova_auth", Backup: id, Bytes: 3 << 30, Stored: 1 << 20, Rows: rows, Seconds: 6, LastSuccess: &taken},
	}}.Encode())
}

func TestReconcile_RecordsResultsOfPods(t *testing.T) {
	b := newEnvironment(t)
	b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-drill", running)
	b.ran("auth-db", resources.VerbRun, "night-1", 0, succeeded("20261123T010000Z-aaaaaa", 10))
	b.awaitEvent("BackupSucceeded", "nova_auth 20261123T010000Z-aaaaaa, 10 rows, 6s")
	s := b.awaitStatus("auth-db", "backed up", backedUp)
	if d := s.Databases[0]; !d.LastSuccess.Equal(snapshot) || d.Stored != 1<<20 || s.LastRun.Job != "night-1" {
		t.Errorf("status: %s", s.Encode())
	}
	b.awaitCronJob("auth-db-drill", func(o *batchv1.CronJob) string {
		volume := o.Spec.JobTemplate.Spec.Template.Spec.Volumes[1]
		return unless(volume.EmptyDir.SizeLimit.String() == "9Gi", "scratch of "+volume.EmptyDir.SizeLimit.String())
	})
	failed := string(backupapi.Result{Verb: resources.VerbRun, Category: backupapi.CategoryPermission, Message: "back up: password authentication failed", Started: snapshot}.Encode())
	b.ran("auth-db", resources.VerbRun, "night-2", 77, failed)
	// Two failures within minutes give two Events.
	b.awaitEvent("BackupFailed", "night-2: permission: back up: password authentication failed")
	verified := snapshot
	b.ran("auth-db", resources.VerbDrill, "drill-1", 0, string(backupapi.Result{Verb: resources.VerbDrill, Started: snapshot, Databases: []backupapi.DatabaseResult{
		{Name: "nova_auth", Backup: "20261123T010000Z-aaaaaa", Seconds: 42, LastVerified: &verified},
	}}.Encode()))
	b.awaitEvent("DrillPassed", "nova_auth")
	b.ran("auth-db", resources.VerbRun, "night-3", 137, "")
	b.awaitEvent("BackupFailed", "night-3: killed: exit code 137 without a report")

	s = b.awaitStatus("auth-db", "all there", func(s backupapi.Status) bool { return len(s.Counted) == 4 })
	want := map[backupapi.Category]int{backupapi.CategoryPermission: 1, backupapi.CategoryKilled: 1}
	if diff := cmp.Diff(want, s.Failures); diff != "" || !s.Databases[0].LastSuccess.Equal(snapshot) {
		t.Errorf("failures %s\n%s", diff, s.Encode())
	}
	b.wantMetrics(`novawire_backup_last_success_timestamp_seconds{database="nova_auth",namespace="NS",statefulset="auth-db"} 1.7953956e+09
novawire_backup_last_verified_timestamp_seconds{database="nova_auth",namespace="NS",statefulset="auth-db"} 1.7953956e+09
novawire_backup_failures_total{category="killed",namespace="NS",statefulset="auth-db"} 1
novawire_backup_failures_total{category="permission",namespace="NS",statefulset="auth-db"} 1
novawire_backup_drill_duration_seconds{database="nova_auth",namespace="NS",statefulset="auth-db"} 42
novawire_backup_info{namespace="NS",statefulset="auth-db",suspended="false"} 1`)

	t.Run("the status survives the Jobs, the pods, the StatefulSet's annotation and a restart of the manager", func(t *testing.T) {
		b.stop()
		var pods corev1.PodList
		if err := b.client.List(t.Context(), &pods, client.InNamespace(b.namespace)); err != nil {
			t.Fatal(err)
		}
		for i := range pods.Items {
			b.delete(&pods.Items[i])
		}
		set := &appsv1.StatefulSet{}
		if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "auth-db"}, set); err != nil {
			t.Fatal(err)
		}
		b.annotate(set, map[string]string{backupapi.AnnotationStatus: ""})
		b.start()
		again := b.awaitStatus("auth-db", "what it was", func(s backupapi.Status) bool { return len(s.Counted) == 4 })
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("(-before +after)\n%s", diff)
		}
		b.wantMetrics(`novawire_backup_failures_total{category="killed",namespace="NS",statefulset="auth-db"} 1`)
	})
}

// wantMetrics waits until each line is among the metrics; NS is the namespace.
func (b *environment) wantMetrics(lines string) {
	b.Helper()
	for _, line := range strings.Split(strings.ReplaceAll(lines, "NS", b.namespace), "\n") {
		b.eventually("metric", func() string {
			have := gather(b.T, b.registry)
			return unless(slices.Contains(have, line), line+" is not among\n"+strings.Join(have, "\n"))
		})
	}
}

func TestReconcile_RecordsAnomalies(t *testing.T) {
	b := newEnvironment(t)
	b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-backup", running)
	report := func(names ...string) string {
		r := backupapi.Result{Verb: resources.VerbRun, Started: snapshot}
		for _, name := range names {
			taken := snapshot
			r.Databases = append(r.Databases, backupapi.DatabaseResult{Name: name, Backup: "x", LastSuccess: &taken, Anomalies: len(names) - 1})
		}
		return string(r.Encode())
	}
	b.ran("auth-db", resources.VerbRun, "night-1", 0, report("nova_auth", "nova_feed"))
	b.awaitEvent("BackupAnomaly", "nova_auth: 1 tables disappeared")
	b.awaitEvent("BackupAnomaly", "nova_feed: 1 tables disappeared")
	b.awaitStatus("auth-db", "both", func(s backupapi.Status) bool { return len(s.Databases) == 2 })
	b.ran("auth-db", resources.VerbRun, "night-2", 0, report("nova_auth"))
	b.awaitEvent("BackupAnomaly", "database nova_feed no longer exists")
	b.awaitStatus("auth-db", "one", func(s backupapi.Status) bool { return len(s.Databases) == 1 })
}

func TestReconcile_RecordsPodsWithoutReport(t *testing.T) {
	b := newEnvironment(t)
	b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-backup", running)
	t.Run("a pod that waits for a Secret", func(t *testing.T) {
		pod := b.pod("auth-db", resources.VerbRun, "waits")
		pod.Status.Phase = corev1.PodPending
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: resources.Container, Image: "i", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: `secret "postgres-credentials" not found`},
		}}}
		b.setStatus(pod)
		b.awaitEvent("BackupNotStarted", `waits: container pg-backup is waiting: CreateContainerConfigError: secret "postgres-credentials" not found`)
	})
	t.Run("an evicted pod", func(t *testing.T) {
		pod := b.pod("auth-db", resources.VerbDrill, "evicted")
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "Usage of EmptyDir volume \"scratch\" exceeds the limit"
		b.setStatus(pod)
		b.awaitEvent("DrillFailed", `evicted: killed: Evicted Usage of EmptyDir volume "scratch" exceeds the limit`)
	})
	t.Run("a pod that was deleted while it ran", func(t *testing.T) {
		pod := b.pod("auth-db", resources.VerbRun, "killed")
		pod.Status.Phase = corev1.PodRunning
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: resources.Container, Image: "i", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
		b.setStatus(pod)
		b.delete(pod)
		b.awaitEvent("BackupFailed", "killed: killed: the pod was deleted while it ran")
	})
	t.Run("a Job that failed without a pod", func(t *testing.T) {
		labels := resources.PodLabels(b.set("auth-db"), resources.VerbRun)
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "podless", Labels: labels}, Spec: batchv1.JobSpec{Template: b.podTemplate()}}
		b.create(job)
		now := metav1.Now()
		job.Status.StartTime = &now
		for _, kind := range []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed} {
			job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: "DeadlineExceeded", Message: "too long", LastTransitionTime: now})
		}
		if err := b.client.Status().Update(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		b.awaitEvent("BackupNotStarted", "podless: no pod was created: DeadlineExceeded: too long")
	})
	b.awaitStatus("auth-db", "counted", func(s backupapi.Status) bool {
		return s.Failures[backupapi.CategoryNotStarted] == 2 && s.Failures[backupapi.CategoryKilled] == 2
	})
}
