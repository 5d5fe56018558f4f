package backup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

func TestReconcile_StartsRequestedRunOnce(t *testing.T) {
	b := newEnvironment(t)
	s := b.statefulSet("auth-db", enabled(backupapi.AnnotationSuspend, "true", backupapi.AnnotationRun, "before-the-migration"))
	job := func(cronJob, verb, token string) *batchv1.Job {
		o := &batchv1.Job{}
		name := resources.JobName(cronJob, verb, token)
		b.eventually("Job "+name, func() string {
			if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, o); err != nil {
				return err.Error()
			}
			return ""
		})
		return o
	}
	first := job("auth-db-backup", resources.VerbRun, "before-the-migration")
	if owner := metav1.GetControllerOf(first); owner == nil || owner.Name != "auth-db-backup" {
		t.Errorf("owned by %v: the history limits do not hold for it", owner)
	}
	b.awaitStatus("auth-db", "handled", func(s backupapi.Status) bool { return s.HandledRun == "before-the-migration" })
	b.annotate(s, map[string]string{backupapi.AnnotationRun: "drill:1"})
	if command := job("auth-db-drill", resources.VerbDrill, "drill:1").Spec.Template.Spec.Containers[0].Command; command[1] != "drill" {
		t.Errorf("runs %v", command)
	}
	// A handled value starts nothing again after its Job is deleted and the manager
	// has restarted.
	b.delete(first)
	b.stop()
	b.start()
	b.annotate(s, map[string]string{backupapi.AnnotationRun: "drill:2"})
	job("auth-db-drill", resources.VerbDrill, "drill:2")
	var jobs batchv1.JobList
	if err := b.client.List(t.Context(), &jobs, client.InNamespace(b.namespace), client.MatchingLabels{resources.LabelVerb: resources.VerbRun}); err != nil {
		t.Fatal(err)
	}
	for _, o := range jobs.Items {
		if o.DeletionTimestamp == nil {
			t.Errorf("%s was started again", o.Name)
		}
	}
}

// A manager that starts with 500 converged StatefulSets reads and writes nothing.
func TestReconcile_ConvergedClusterIsNotWritten(t *testing.T) {
	b := newEnvironment(t)
	const many = 500
	for i := range many {
		b.statefulSet(fmt.Sprintf("db-%03d", i), enabled(backupapi.AnnotationSchedule, "H H(0-5) * * *"))
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
	b.reconfigure(func(*resources.Config) {}) // reconcile all of them again
	b.annotate(b.statefulSet("last", enabled()), enabled("other", "x"))
	b.awaitCronJob("last-drill", running)
	b.awaitStatus("last", "scheduled", func(s backupapi.Status) bool { return s.Schedule != "" })
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

// eventuallyAll waits until n StatefulSets have both CronJobs with a status.
func (b *environment) eventuallyAll(n int) {
	b.Helper()
	b.within(3*time.Minute, "all are scheduled", func() string {
		var list batchv1.CronJobList
		if err := b.client.List(b.Context(), &list, client.InNamespace(b.namespace)); err != nil {
			b.Fatal(err)
		}
		withStatus := 0
		for _, o := range list.Items {
			if o.Annotations[backupapi.AnnotationStatus] != "" {
				withStatus++
			}
		}
		return unless(len(list.Items) == 2*n && withStatus == n, fmt.Sprintf("%d CronJobs, %d with a status, of %d StatefulSets", len(list.Items), withStatus, n))
	})
}
