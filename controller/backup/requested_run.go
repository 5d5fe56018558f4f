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

var errCronJobMissing = errors.New("the CronJob does not exist yet")

// startRequestedRun starts the Job that the run annotation asks for, once for each
// value of the annotation.
func (r *reconciler) startRequestedRun(ctx context.Context, s *state) error {
	run := s.request.Run
	if s.object == nil || run == "" || run == s.status.HandledRun || len(s.refusals) > 0 {
		return nil
	}
	if reason := s.whyNotBackedUp(); reason != "" {
		r.recordEvent(s, corev1.EventTypeWarning, "BackupRefused", "%s: %q starts no run: %s", backupapi.AnnotationRun, run, reason)
		s.status.HandledRun = run
		return nil
	}
	cronJob, verb := r.config().RequestedJob(s.target())
	owner, err := get(ctx, r.live, client.ObjectKeyFromObject(cronJob), &batchv1.CronJob{})
	if err == nil && owner == nil {
		err = errCronJobMissing
	}
	if err != nil {
		return fmt.Errorf("start the requested run: read CronJob %s: %w", cronJob.Name, err)
	}
	cronJob.UID = owner.UID
	job := resources.JobFrom(cronJob, verb, run)
	if err := r.client.Create(ctx, job, objectOwner); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("start the requested run: %w", err)
	}
	r.recordEvent(s, corev1.EventTypeNormal, "BackupRunStarted", "started Job %s, requested by %s: %s", job.Name, backupapi.AnnotationRun, run)
	s.status.HandledRun = run
	return nil
}

// whyNotBackedUp returns the reason why no run may start, "" if one may.
func (s *state) whyNotBackedUp() string {
	switch {
	case s.namespaceRefuses():
		return reasonNamespace
	case !s.request.Enabled:
		return reasonDisabled(s.source)
	}
	return ""
}
