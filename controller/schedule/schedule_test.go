package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire"
)

func enabled(more ...string) map[string]string {
	annotations := map[string]string{novawire.AnnotationBackupEnabled: "true"}
	for i := 0; i < len(more); i += 2 {
		annotations[more[i]] = more[i+1]
	}
	return annotations
}

func TestAnAnnotatedStatefulSetIsBackedUp(t *testing.T) {
	b := newBed(t)
	b.statefulSet("auth-db", enabled(novawire.AnnotationBackupTimeZone, "Europe/Berlin"))
	backup := b.awaitCronJob("auth-db-backup", running)
	drill := b.awaitCronJob("auth-db-drill", running)
	if backup.Spec.Schedule != "0 1 * * *" || *backup.Spec.TimeZone != "Europe/Berlin" || drill.Spec.Schedule != "0 3 1 */3 *" {
		t.Errorf("runs at %s and %s", backup.Spec.Schedule, drill.Spec.Schedule)
	}
	b.awaitEvent("BackupScheduled", "s3://nova-backups/test/"+b.namespace+"/auth-db")
	status := b.awaitStatus("auth-db", "told", func(s novawire.BackupStatus) bool { return s.Schedule != "" })
	if diff := cmp.Diff(novawire.BackupStatus{
		Schedule: "0 1 * * *", DrillSchedule: "0 3 1 */3 *", TimeZone: "Europe/Berlin", Place: "s3://nova-backups/test/" + b.namespace + "/auth-db",
	}, status); diff != "" {
		t.Errorf("status (-want +got)\n%s", diff)
	}
}

func TestARequestThatChangesChangesTheCronJob(t *testing.T) {
	b := newBed(t)
	s := b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-drill", running)
	b.annotate(s, map[string]string{novawire.AnnotationBackupSchedule: "30 2 * * *", novawire.AnnotationBackupDrillSchedule: "never", novawire.AnnotationBackupServiceAccount: "backup"})
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string {
		if o.Spec.Schedule != "30 2 * * *" || o.Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName != "backup" {
			return o.Spec.Schedule
		}
		return ""
	})
	b.eventually("no drills", func() string {
		if b.cronJob("auth-db-drill") != nil {
			return "the CronJob is there"
		}
		return ""
	})
	b.eventually("no ServiceAccount of ours", func() string {
		if b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "auth-db-backup"}, &corev1.ServiceAccount{}) == nil {
			return "it is there"
		}
		return ""
	})
	b.annotate(s, map[string]string{novawire.AnnotationBackupSuspend: "true"})
	b.awaitCronJob("auth-db-backup", suspended(suspendedByRequest))
	b.annotate(s, map[string]string{novawire.AnnotationBackupSuspend: ""})
	b.awaitCronJob("auth-db-backup", running)
	b.reconfigure(func(c *Config) { c.Image = "pg-backup:next" })
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string {
		return unless(o.Spec.JobTemplate.Spec.Template.Spec.InitContainers[0].Image == "pg-backup:next", "the image is the old one")
	})
}

func unless(holds bool, problem string) string {
	if holds {
		return ""
	}
	return problem
}

func TestWhatOthersChangeIsPutBack(t *testing.T) {
	b := newBed(t)
	b.statefulSet("auth-db", enabled())
	o := b.awaitCronJob("auth-db-backup", running)
	before := o.DeepCopy()
	o.Spec.Schedule = "59 23 31 12 *"
	if err := b.client.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string { return unless(o.Spec.Schedule == "0 1 * * *", o.Spec.Schedule) })
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "auth-db-backup"}}
	b.delete(policy)
	b.eventually("the policy is back", func() string {
		return unless(b.client.Get(t.Context(), client.ObjectKeyFromObject(policy), policy) == nil, "it is not")
	})
}

func TestAnObjectOfSomebodyElseIsLeftAlone(t *testing.T) {
	b := newBed(t)
	theirs := b.somebodyElses("auth-db-backup")
	b.statefulSet("auth-db", enabled())
	b.awaitEvent("BackupRefused", "is not ours")
	if o := b.cronJob("auth-db-backup"); o.Spec.Schedule != theirs.Spec.Schedule || o.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("it was changed: %v", o)
	}
}

func (b *bed) somebodyElses(name string) *batchv1.CronJob {
	o := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name},
		Spec: batchv1.CronJobSpec{Schedule: "7 7 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{
			Template: b.podTemplate(),
		}}},
	}
	b.create(o)
	return o
}

func (b *bed) podTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
}

func TestABadRequestKeepsWhatIsThere(t *testing.T) {
	b := newBed(t)
	s := b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-backup", running)
	b.annotate(s, map[string]string{novawire.AnnotationBackupSchedule: "tonight"})
	b.awaitEvent("BackupRefused", `backup.nova.dev/schedule: "tonight" is refused`)
	b.awaitStatus("auth-db", "refused", func(s novawire.BackupStatus) bool { return len(s.Refused) == 1 })
	b.awaitCronJob("auth-db-backup", running)
	b.annotate(s, map[string]string{novawire.AnnotationBackupSchedule: "0 2 * * *"})
	b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string { return unless(o.Spec.Schedule == "0 2 * * *", o.Spec.Schedule) })
	b.awaitStatus("auth-db", "well again", func(s novawire.BackupStatus) bool { return len(s.Refused) == 0 })
}

func TestTheEndOfAStatefulSet(t *testing.T) {
	t.Run("deleted: the CronJobs stay, suspended, and say why; a successor takes them over", func(t *testing.T) {
		b := newBed(t)
		s := b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-drill", running)
		b.ran("auth-db", VerbRun, "night", 0, succeeded("20261123T010000Z-aaaaaa", 10))
		b.awaitStatus("auth-db", "backed up", backedUp)
		b.delete(s)
		b.awaitCronJob("auth-db-backup", suspended(deleted))
		b.awaitCronJob("auth-db-drill", suspended(deleted))
		b.awaitEvent("BackupSuspended", deleted)
		b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-backup", running)
		b.awaitStatus("auth-db", "known from before", backedUp)
	})
	t.Run("deleted, with on-delete: the StatefulSet owns what was made for it", func(t *testing.T) {
		b := newBed(t)
		s := b.statefulSet("auth-db", enabled(novawire.AnnotationBackupOnDelete, "delete"))
		for _, name := range []string{"auth-db-backup", "auth-db-drill"} {
			o := b.awaitCronJob(name, running)
			if len(o.OwnerReferences) != 1 || o.OwnerReferences[0].UID != s.UID {
				t.Errorf("%s is owned by %v: nothing deletes it", name, o.OwnerReferences)
			}
		}
		b.annotate(s, map[string]string{novawire.AnnotationBackupOnDelete: ""})
		b.awaitCronJob("auth-db-backup", func(o *batchv1.CronJob) string { return unless(len(o.OwnerReferences) == 0, "is still owned") })
	})
	t.Run("no longer enabled: the CronJobs stay, suspended", func(t *testing.T) {
		b := newBed(t)
		s := b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-drill", running)
		b.annotate(s, map[string]string{novawire.AnnotationBackupEnabled: ""})
		b.awaitCronJob("auth-db-backup", suspended(disabled))
		b.awaitCronJob("auth-db-drill", suspended(disabled))
		b.annotate(s, enabled())
		b.awaitCronJob("auth-db-drill", running)
	})
	t.Run("no longer enabled, with on-delete: they go", func(t *testing.T) {
		b := newBed(t)
		s := b.statefulSet("auth-db", enabled(novawire.AnnotationBackupOnDelete, "delete"))
		b.awaitCronJob("auth-db-drill", running)
		b.annotate(s, map[string]string{novawire.AnnotationBackupEnabled: "", novawire.AnnotationBackupOnDelete: ""})
		b.eventually("nothing is left", func() string {
			return unless(b.cronJob("auth-db-backup") == nil && b.cronJob("auth-db-drill") == nil, "a CronJob is")
		})
	})
	t.Run("the namespace opts out: they are suspended until it opts in", func(t *testing.T) {
		b := newBed(t)
		b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-drill", running)
		b.label("")
		b.awaitCronJob("auth-db-backup", suspended(optedOut))
		b.label(novawire.WiringEnabled)
		b.awaitCronJob("auth-db-backup", running)
	})
	t.Run("renamed: the old one's stay, suspended, and the new one starts in a folder of its own", func(t *testing.T) {
		b := newBed(t)
		s := b.statefulSet("auth-db", enabled())
		b.awaitCronJob("auth-db-backup", running)
		b.delete(s)
		b.statefulSet("auth-postgres", enabled())
		b.awaitCronJob("auth-db-backup", suspended(deleted))
		b.awaitCronJob("auth-postgres-backup", func(o *batchv1.CronJob) string {
			env := o.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Env
			want := corev1.EnvVar{Name: novawire.EnvS3Bucket, Value: "s3://nova-backups/test/" + b.namespace + "/auth-postgres"}
			return unless(slices.Contains(env, want), fmt.Sprint(env))
		})
	})
}

func (b *bed) label(value string) {
	b.Helper()
	ns := &corev1.Namespace{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Name: b.namespace}, ns); err != nil {
		b.Fatal(err)
	}
	if ns.Labels[novawire.LabelWiring] = value; value == "" {
		delete(ns.Labels, novawire.LabelWiring)
	}
	if err := b.client.Update(b.Context(), ns); err != nil {
		b.Fatal(err)
	}
}

func backedUp(s novawire.BackupStatus) bool {
	return len(s.Databases) == 1 && s.Databases[0].LastSuccess != nil
}

var snapshot = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)

func succeeded(id string, rows int64) string {
	taken := snapshot
	return string(novawire.BackupResult{Verb: VerbRun, Started: snapshot, Seconds: 7, Databases: []novawire.BackupDatabaseResult{
		{Name: "nova_auth", Backup: id, Bytes: 3 << 30, Stored: 1 << 20, Rows: rows, Seconds: 6, LastSuccess: &taken},
	}}.Encode())
}

func TestWhatPodsReportIsTold(t *testing.T) {
	b := newBed(t)
	b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-drill", running)
	b.ran("auth-db", VerbRun, "night-1", 0, succeeded("20261123T010000Z-aaaaaa", 10))
	b.awaitEvent("BackupSucceeded", "nova_auth 20261123T010000Z-aaaaaa, 10 rows, 6s")
	s := b.awaitStatus("auth-db", "backed up", backedUp)
	if d := s.Databases[0]; !d.LastSuccess.Equal(snapshot) || d.Stored != 1<<20 || s.LastRun.Job != "night-1" {
		t.Errorf("status: %s", s.Encode())
	}
	b.awaitCronJob("auth-db-drill", func(o *batchv1.CronJob) string {
		volume := o.Spec.JobTemplate.Spec.Template.Spec.Volumes[1]
		return unless(volume.EmptyDir.SizeLimit.String() == "9Gi", "scratch of "+volume.EmptyDir.SizeLimit.String())
	})
	failed := string(novawire.BackupResult{Verb: VerbRun, Category: novawire.BackupPermission, Message: "back up: password authentication failed", Started: snapshot}.Encode())
	b.ran("auth-db", VerbRun, "night-2", 77, failed)
	// Of two failures within minutes, the second is told as well.
	b.awaitEvent("BackupFailed", "night-2: permission: back up: password authentication failed")
	verified := snapshot
	b.ran("auth-db", VerbDrill, "drill-1", 0, string(novawire.BackupResult{Verb: VerbDrill, Started: snapshot, Databases: []novawire.BackupDatabaseResult{
		{Name: "nova_auth", Backup: "20261123T010000Z-aaaaaa", Seconds: 42, LastVerified: &verified},
	}}.Encode()))
	b.awaitEvent("DrillPassed", "nova_auth")
	b.ran("auth-db", VerbRun, "night-3", 137, "")
	b.awaitEvent("BackupFailed", "night-3: killed: exit code 137, and no report")

	s = b.awaitStatus("auth-db", "all there", func(s novawire.BackupStatus) bool { return len(s.Counted) == 4 })
	want := map[novawire.BackupCategory]int{novawire.BackupPermission: 1, novawire.BackupKilled: 1}
	if diff := cmp.Diff(want, s.Failures); diff != "" || !s.Databases[0].LastSuccess.Equal(snapshot) {
		t.Errorf("failures %s\n%s", diff, s.Encode())
	}
	b.wantMetrics(`novawire_backup_last_success_timestamp_seconds{database="nova_auth",namespace="NS",statefulset="auth-db"} 1.7953956e+09
novawire_backup_last_verified_timestamp_seconds{database="nova_auth",namespace="NS",statefulset="auth-db"} 1.7953956e+09
novawire_backup_failures_total{category="killed",namespace="NS",statefulset="auth-db"} 1
novawire_backup_failures_total{category="permission",namespace="NS",statefulset="auth-db"} 1
novawire_backup_drill_duration_seconds{database="nova_auth",namespace="NS",statefulset="auth-db"} 42
novawire_backup_info{namespace="NS",statefulset="auth-db",suspended="false"} 1`)

	t.Run("and survives Jobs, pods, the StatefulSet's annotation and the manager", func(t *testing.T) {
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
		b.annotate(set, map[string]string{novawire.AnnotationBackupStatus: ""})
		b.start()
		again := b.awaitStatus("auth-db", "what it was", func(s novawire.BackupStatus) bool { return len(s.Counted) == 4 })
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("(-before +after)\n%s", diff)
		}
		b.wantMetrics(`novawire_backup_failures_total{category="killed",namespace="NS",statefulset="auth-db"} 1`)
	})
}

// wantMetrics waits until each line is among the metrics; NS is the namespace.
func (b *bed) wantMetrics(lines string) {
	b.Helper()
	for _, line := range strings.Split(strings.ReplaceAll(lines, "NS", b.namespace), "\n") {
		b.eventually("metric", func() string {
			have := gather(b.T, b.registry)
			return unless(slices.Contains(have, line), line+" is not among\n"+strings.Join(have, "\n"))
		})
	}
}

func TestWhatIsOddIsFlagged(t *testing.T) {
	b := newBed(t)
	b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-backup", running)
	report := func(names ...string) string {
		r := novawire.BackupResult{Verb: VerbRun, Started: snapshot}
		for _, name := range names {
			taken := snapshot
			r.Databases = append(r.Databases, novawire.BackupDatabaseResult{Name: name, Backup: "x", LastSuccess: &taken, Anomalies: len(names) - 1})
		}
		return string(r.Encode())
	}
	b.ran("auth-db", VerbRun, "night-1", 0, report("nova_auth", "nova_feed"))
	b.awaitEvent("BackupAnomaly", "nova_auth: 1 tables vanished")
	b.awaitEvent("BackupAnomaly", "nova_feed: 1 tables vanished")
	b.awaitStatus("auth-db", "both", func(s novawire.BackupStatus) bool { return len(s.Databases) == 2 })
	b.ran("auth-db", VerbRun, "night-2", 0, report("nova_auth"))
	b.awaitEvent("BackupAnomaly", "database nova_feed is no longer there")
	b.awaitStatus("auth-db", "one", func(s novawire.BackupStatus) bool { return len(s.Databases) == 1 })
}

func TestPodsThatReportNothingAreTold(t *testing.T) {
	b := newBed(t)
	b.statefulSet("auth-db", enabled())
	b.awaitCronJob("auth-db-backup", running)
	t.Run("one that waits for a Secret", func(t *testing.T) {
		pod := b.pod("auth-db", VerbRun, "waits")
		pod.Status.Phase = corev1.PodPending
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: Container, Image: "i", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: `secret "postgres-credentials" not found`},
		}}}
		b.setStatus(pod)
		b.awaitEvent("BackupNotStarted", `waits: container pg-backup waits: CreateContainerConfigError: secret "postgres-credentials" not found`)
	})
	t.Run("one that was evicted", func(t *testing.T) {
		pod := b.pod("auth-db", VerbDrill, "evicted")
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "Usage of EmptyDir volume \"scratch\" exceeds the limit"
		b.setStatus(pod)
		b.awaitEvent("DrillFailed", `evicted: killed: Evicted Usage of EmptyDir volume "scratch" exceeds the limit`)
	})
	t.Run("one whose Job was deleted while it ran", func(t *testing.T) {
		pod := b.pod("auth-db", VerbRun, "killed")
		pod.Status.Phase = corev1.PodRunning
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: Container, Image: "i", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
		b.setStatus(pod)
		b.delete(pod)
		b.awaitEvent("BackupFailed", "killed: killed: the pod was deleted while it ran")
	})
	t.Run("a Job that never had a pod", func(t *testing.T) {
		labels := podLabels("auth-db", VerbRun)
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
		b.awaitEvent("BackupNotStarted", "podless: no pod was made: DeadlineExceeded: too long")
	})
	b.awaitStatus("auth-db", "counted", func(s novawire.BackupStatus) bool {
		return s.Failures[novawire.BackupNotStarted] == 2 && s.Failures[novawire.BackupKilled] == 2
	})
}

func TestRunNow(t *testing.T) {
	b := newBed(t)
	s := b.statefulSet("auth-db", enabled(novawire.AnnotationBackupSuspend, "true", novawire.AnnotationBackupRun, "before-the-migration"))
	job := func(cronJob, verb, token string) *batchv1.Job {
		o := &batchv1.Job{}
		name := JobName(cronJob, verb, token)
		b.eventually("Job "+name, func() string {
			if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, o); err != nil {
				return err.Error()
			}
			return ""
		})
		return o
	}
	first := job("auth-db-backup", VerbRun, "before-the-migration")
	if owner := metav1.GetControllerOf(first); owner == nil || owner.Name != "auth-db-backup" {
		t.Errorf("owned by %v: the history limits do not hold for it", owner)
	}
	b.awaitStatus("auth-db", "handled", func(s novawire.BackupStatus) bool { return s.Handled == "before-the-migration" })
	b.annotate(s, map[string]string{novawire.AnnotationBackupRun: "drill:1"})
	if command := job("auth-db-drill", VerbDrill, "drill:1").Spec.Template.Spec.Containers[0].Command; command[1] != "drill" {
		t.Errorf("runs %v", command)
	}
	// A value that was acted on starts nothing again, when its Job is gone and
	// the manager is another.
	b.delete(first)
	b.stop()
	b.start()
	b.annotate(s, map[string]string{novawire.AnnotationBackupRun: "drill:2"})
	job("auth-db-drill", VerbDrill, "drill:2")
	var jobs batchv1.JobList
	if err := b.client.List(t.Context(), &jobs, client.InNamespace(b.namespace), client.MatchingLabels{LabelVerb: VerbRun}); err != nil {
		t.Fatal(err)
	}
	for _, o := range jobs.Items {
		if o.DeletionTimestamp == nil {
			t.Errorf("%s was started again", o.Name)
		}
	}
}

// 500 StatefulSets, and then a manager that starts anew: it reads, and writes nothing.
func TestASteadyStateIsNotWritten(t *testing.T) {
	b := newBed(t)
	const many = 500
	for i := range many {
		b.statefulSet(fmt.Sprintf("db-%03d", i), enabled(novawire.AnnotationBackupSchedule, "H H(0-5) * * *"))
	}
	b.eventuallyAll(many)
	b.stop()
	b.writes.forget()
	b.start()
	b.eventually("all are known to the new manager", func() string {
		n := 0
		for _, line := range gather(t, b.registry) {
			if strings.HasPrefix(line, "novawire_backup_info{namespace=\""+b.namespace) {
				n++
			}
		}
		return unless(n == many, fmt.Sprintf("%d of %d", n, many))
	})
	b.reconfigure(func(*Config) {}) // all of them once more
	b.annotate(b.statefulSet("last", enabled()), enabled("other", "x"))
	b.awaitCronJob("last-drill", running)
	b.awaitStatus("last", "told", func(s novawire.BackupStatus) bool { return s.Schedule != "" })
	for _, call := range b.writes.all() {
		if !strings.Contains(call, "/last") {
			t.Errorf("written: %s", call)
		}
	}
}

func (w *writes) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

// eventuallyAll waits until n StatefulSets have both CronJobs, and both carry the status.
func (b *bed) eventuallyAll(n int) {
	b.Helper()
	b.within(3*time.Minute, "all are scheduled", func() string {
		var list batchv1.CronJobList
		if err := b.client.List(b.Context(), &list, client.InNamespace(b.namespace)); err != nil {
			b.Fatal(err)
		}
		told := 0
		for _, o := range list.Items {
			if o.Annotations[novawire.AnnotationBackupStatus] != "" {
				told++
			}
		}
		return unless(len(list.Items) == 2*n && told == n, fmt.Sprintf("%d CronJobs, %d told, of %d StatefulSets", len(list.Items), told, n))
	})
}
