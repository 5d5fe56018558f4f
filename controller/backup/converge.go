package backup

import (
	"context"
	"errors"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/controller/backup/resources"
)

// converge applies, suspends or deletes the objects of a source.
func (r *reconciler) converge(ctx context.Context, s *state) error {
	switch {
	case r.blind(s.source):
		r.refuse(s)
		return nil
	case s.object == nil:
		return r.suspend(ctx, s, reasonDeleted(s.source))
	case s.namespaceRefuses():
		return r.suspend(ctx, s, reasonNamespace)
	case !s.request.Enabled && s.backup != nil && len(s.backup.OwnerReferences) > 0:
		return r.deleteObjects(ctx, s)
	case !s.request.Enabled:
		return r.suspend(ctx, s, reasonDisabled(s.source))
	case len(s.refusals) > 0:
		r.refuse(s)
		return nil
	}
	return r.applyObjects(ctx, s)
}

func (s *state) target() resources.Target {
	t := resources.Target{Source: s.source, Request: s.request, Status: s.status, ServiceAccountAnnotations: s.accounts}
	if s.object != nil {
		t.UID, t.Server = s.object.GetUID(), resources.ServerOf(s.object)
	}
	return t
}

func (r *reconciler) applyObjects(ctx context.Context, s *state) error {
	config, target := r.config(), s.target()
	if err := r.resume(ctx, s); err != nil {
		return err
	}
	location := s.request.Location(s.source)
	for _, o := range config.Objects(target) {
		created, err := r.apply.apply(ctx, o)
		if errors.Is(err, errNameTaken) {
			r.recordEvent(s, corev1.EventTypeWarning, "BackupRefused", "no backup is scheduled: %s", err)
		}
		if err != nil {
			return err
		}
		if job, ok := o.(*batchv1.CronJob); ok && created {
			r.recordEvent(s, corev1.EventTypeNormal, "BackupScheduled", "created CronJob %s: schedule %s, time zone %s, location %s", job.Name, job.Spec.Schedule, *job.Spec.TimeZone, location)
		}
	}
	if err := r.deleteUnwanted(ctx, s, config); err != nil {
		return err
	}
	s.status.Schedule, s.status.TimeZone = resources.BackupSchedule(target), s.request.TimeZone
	s.status.DrillSchedule = ""
	if s.request.Drill {
		s.status.DrillSchedule = resources.DrillSchedule(target)
	}
	s.status.Location, s.status.Refused = location, nil
	reason := ""
	if s.request.Suspend {
		reason = resources.ReasonSuspended
	}
	r.setSuspended(s, reason)
	return nil
}

// refuse records why the request is refused and keeps the objects of the last
// valid one: a backup with yesterday's settings is better than none.
func (r *reconciler) refuse(s *state) {
	var lines []string
	for _, refusal := range s.refusals {
		lines = append(lines, refusal.Error())
	}
	if !slices.Equal(lines, s.status.Refused) {
		r.recordEvent(s, corev1.EventTypeWarning, "BackupRefused", "%s", strings.Join(lines, "; "))
	}
	s.status.Refused = lines
}

// deleteUnwanted deletes the objects that an earlier request or configuration
// needed and the current one does not.
func (r *reconciler) deleteUnwanted(ctx context.Context, s *state, config resources.Config) error {
	if !s.request.Drill && s.drill != nil {
		if err := r.delete(ctx, s.drill); err != nil {
			return err
		}
	}
	if s.request.ServiceAccount != "" {
		if err := r.deleteOwned(ctx, s, resources.BackupName(s.source), &corev1.ServiceAccount{}); err != nil {
			return err
		}
	}
	if !config.Network.Disabled {
		return nil
	}
	return r.deletePolicies(ctx, s)
}

// deleteObjects deletes everything that was made for a source which is no
// longer backed up and asked for on-delete: delete. Backups in S3 stay.
//
// The backup's CronJob is deleted last, because it records that the rest is to be
// deleted: a reconciliation that fails halfway is repeated. It is suspended first, so
// that no Job starts without its service account and its network policy.
func (r *reconciler) deleteObjects(ctx context.Context, s *state) error {
	if err := r.suspend(ctx, s, reasonDisabled(s.source)); err != nil {
		return err
	}
	if s.drill != nil {
		if err := r.delete(ctx, s.drill); err != nil {
			return err
		}
	}
	if err := r.deletePolicies(ctx, s); err != nil {
		return err
	}
	if err := r.deleteOwned(ctx, s, resources.BackupName(s.source), &corev1.ServiceAccount{}); err != nil {
		return err
	}
	if err := r.delete(ctx, s.backup); err != nil {
		return err
	}
	s.backup, s.drill = nil, nil
	return nil
}

func (r *reconciler) deletePolicies(ctx context.Context, s *state) error {
	for _, name := range resources.PolicyNames(s.source) {
		if err := r.deleteOwned(ctx, s, name, &networkingv1.NetworkPolicy{}); err != nil {
			return err
		}
	}
	return nil
}

// deleteOwned deletes an object if it exists and was made for this source.
func (r *reconciler) deleteOwned(ctx context.Context, s *state, name string, o client.Object) error {
	err := r.client.Get(ctx, types.NamespacedName{Namespace: s.source.Namespace, Name: name}, o)
	if apierrors.IsNotFound(err) || err == nil && !resources.IsMadeFor(o, s.source) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.delete(ctx, o)
}

func (r *reconciler) delete(ctx context.Context, o client.Object) error {
	uid := o.GetUID()
	err := r.client.Delete(ctx, o, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	return client.IgnoreNotFound(err)
}
