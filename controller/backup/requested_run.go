package backup

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// startRequestedRun starts the Job that the annotation asks for, once for each value.
func (r *reconciler) startRequestedRun(ctx context.Context, it *state) error {
	run := it.request.Run
	if it.set == nil || run == "" || run == it.status.HandledRun || len(it.refusals) > 0 {
		return nil
	}
	if !it.optedIn || !it.request.Enabled {
		why := reasonDisabled
		if !it.optedIn {
			why = reasonNamespace
		}
		r.recordEvent(it, corev1.EventTypeWarning, "BackupRefused", "%s: %q starts nothing: %s", backupapi.AnnotationRun, run, why)
		it.status.HandledRun = run
		return nil
	}
	cronJob, verb := r.config().RequestedJob(r.target(it))
	owner, err := get(ctx, r.live, client.ObjectKeyFromObject(cronJob), &batchv1.CronJob{})
	if err == nil && owner == nil {
		err = errCronJobMissing
	}
	if err != nil {
		return fmt.Errorf("start a run: CronJob %s: %w", cronJob.Name, err)
	}
	cronJob.UID = owner.UID
	job := resources.JobFrom(cronJob, verb, run)
	if err := r.client.Create(ctx, job, objectOwner); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("start a run: %w", err)
	}
	r.recordEvent(it, corev1.EventTypeNormal, "BackupRunStarted", "Job %s, asked for by %s: %s", job.Name, backupapi.AnnotationRun, run)
	it.status.HandledRun = run
	return nil
}

var errCronJobMissing = errors.New("is not there yet")
