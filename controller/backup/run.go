package backup

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
)

// runNow starts the Job that the annotation asks for, once for each value.
func (r *reconciler) runNow(ctx context.Context, it *round) error {
	run := it.request.Run
	if it.set == nil || run == "" || run == it.status.Handled || len(it.refusals) > 0 {
		return nil
	}
	if !it.optedIn || !it.request.Enabled {
		why := disabled
		if !it.optedIn {
			why = optedOut
		}
		r.tell(it, corev1.EventTypeWarning, "BackupRefused", "%s: %q starts nothing: %s", backupapi.AnnotationRun, run, why)
		it.status.Handled = run
		return nil
	}
	cronJob, verb := r.config().now(r.target(it))
	owner, err := get(ctx, r.live, client.ObjectKeyFromObject(cronJob), &batchv1.CronJob{})
	if err == nil && owner == nil {
		err = errNotThere
	}
	if err != nil {
		return fmt.Errorf("start a run: CronJob %s: %w", cronJob.Name, err)
	}
	cronJob.UID = owner.UID
	job := JobOf(cronJob, verb, run)
	if err := r.client.Create(ctx, job, objectOwner); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("start a run: %w", err)
	}
	r.tell(it, corev1.EventTypeNormal, "BackupRunStarted", "Job %s, asked for by %s: %s", job.Name, backupapi.AnnotationRun, run)
	it.status.Handled = run
	return nil
}

// now is the CronJob that is to start at once, and the verb. A drill that has no
// schedule of its own is started by the other.
func (c Config) now(t Target) (*batchv1.CronJob, string) {
	switch {
	case !t.Request.Drills():
		return c.BackupCronJob(t), VerbRun
	case t.Request.Drill:
		return c.DrillCronJob(t), VerbDrill
	}
	o := c.BackupCronJob(t)
	o.Spec.JobTemplate.Spec = c.jobSpec(t, VerbDrill)
	o.Spec.JobTemplate.Labels = podLabels(t.StatefulSet.Name, VerbDrill)
	return o, VerbDrill
}

var errNotThere = errors.New("is not there yet")

// JobOf is the Job that a CronJob would start, under a name that the token decides.
func JobOf(cronJob *batchv1.CronJob, verb, token string) *batchv1.Job {
	yes := true
	template := cronJob.Spec.JobTemplate.DeepCopy()
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cronJob.Namespace, Name: JobName(cronJob.Name, verb, token), Labels: template.Labels,
			Annotations: map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}, // as kubectl marks it
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "CronJob", Name: cronJob.Name, UID: cronJob.UID, Controller: &yes,
			}},
		},
		Spec: template.Spec,
	}
}
