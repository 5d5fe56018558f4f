package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/backup/resources"
)

// Why the CronJobs of a StatefulSet start nothing, as users read it.
const (
	reasonDeleted   = "the StatefulSet was deleted; its backups are kept"
	reasonDisabled  = backupapi.AnnotationEnabled + " is not true on the StatefulSet"
	reasonNamespace = "the namespace is not labelled " + injection.LabelWiring + ": " + injection.WiringEnabled
)

// converge makes the cluster's objects what is wanted now.
func (r *reconciler) converge(ctx context.Context, it *state) error {
	switch {
	case it.set == nil:
		return r.suspend(ctx, it, reasonDeleted)
	case !it.optedIn:
		return r.suspend(ctx, it, reasonNamespace)
	case !it.request.Enabled && it.backup != nil && len(it.backup.OwnerReferences) > 0:
		return r.deleteObjects(ctx, it)
	case !it.request.Enabled:
		return r.suspend(ctx, it, reasonDisabled)
	case len(it.refusals) > 0:
		return r.refuse(it)
	}
	return r.applyObjects(ctx, it)
}

func (r *reconciler) target(it *state) resources.Target {
	return resources.Target{StatefulSet: it.set, Request: it.request, Status: it.status}
}

func (r *reconciler) applyObjects(ctx context.Context, it *state) error {
	c, t := r.config(), r.target(it)
	if err := r.resume(ctx, it); err != nil {
		return err
	}
	for _, o := range c.Objects(t) {
		created, err := r.apply.apply(ctx, o)
		if errors.Is(err, errNameTaken) {
			r.recordEvent(it, corev1.EventTypeWarning, "BackupRefused", "nothing was changed: %s", err)
			return err
		}
		if err != nil {
			return err
		}
		if job, ok := o.(*batchv1.CronJob); ok && created {
			r.recordEvent(it, corev1.EventTypeNormal, "BackupScheduled", "CronJob %s: %s, %s, to %s", job.Name, job.Spec.Schedule, *job.Spec.TimeZone, it.request.Location(it.name.Namespace, it.name.Name))
		}
	}
	if err := r.deleteUnwanted(ctx, it, c); err != nil {
		return err
	}
	s := &it.status
	s.Schedule, s.TimeZone, s.Location, s.Refused = resources.BackupSchedule(t), it.request.TimeZone, it.request.Location(it.name.Namespace, it.name.Name), nil
	if s.DrillSchedule = ""; it.request.Drill {
		s.DrillSchedule = resources.DrillSchedule(t)
	}
	reason := ""
	if it.request.Suspend {
		reason = resources.ReasonSuspended
	}
	r.setSuspended(it, reason)
	return nil
}

// deleteUnwanted deletes what an earlier request or configuration made.
func (r *reconciler) deleteUnwanted(ctx context.Context, it *state, c resources.Config) error {
	if !it.request.Drill && it.drill != nil {
		if err := r.delete(ctx, it.drill); err != nil {
			return err
		}
	}
	name := types.NamespacedName{Namespace: it.name.Namespace, Name: resources.BackupName(it.name.Name)}
	if it.request.ServiceAccount != "" {
		if err := r.deleteOwned(ctx, it, name, &corev1.ServiceAccount{}); err != nil {
			return err
		}
	}
	if !c.Network.Disabled {
		return nil
	}
	return r.deletePolicies(ctx, it, name)
}

func (r *reconciler) deletePolicies(ctx context.Context, it *state, name types.NamespacedName) error {
	database := types.NamespacedName{Namespace: name.Namespace, Name: name.Name + "-database"}
	return errors.Join(r.deleteOwned(ctx, it, name, &networkingv1.NetworkPolicy{}), r.deleteOwned(ctx, it, database, &networkingv1.NetworkPolicy{}))
}

func (r *reconciler) deleteOwned(ctx context.Context, it *state, name types.NamespacedName, o client.Object) error {
	err := r.client.Get(ctx, name, o)
	if apierrors.IsNotFound(err) || err == nil && o.GetLabels()[resources.LabelStatefulSet] != it.name.Name {
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

// deleteObjects deletes all that was made for a StatefulSet which asked for that, and
// is no longer backed up. Backups stay where they are.
func (r *reconciler) deleteObjects(ctx context.Context, it *state) error {
	name := types.NamespacedName{Namespace: it.name.Namespace, Name: resources.BackupName(it.name.Name)}
	for _, cronJob := range []*batchv1.CronJob{it.backup, it.drill} {
		if cronJob == nil {
			continue
		}
		if err := r.delete(ctx, cronJob); err != nil {
			return err
		}
	}
	if err := errors.Join(r.deletePolicies(ctx, it, name), r.deleteOwned(ctx, it, name, &corev1.ServiceAccount{})); err != nil {
		return err
	}
	it.backup, it.drill = nil, nil
	r.setSuspended(it, reasonDisabled)
	return nil
}

// suspend leaves CronJobs as they are, but for starting nothing, and says why on
// each. Applying would need to know what they are to be, which is gone.
func (r *reconciler) suspend(ctx context.Context, it *state, reason string) error {
	for _, o := range []*batchv1.CronJob{it.backup, it.drill} {
		if o == nil || o.Spec.Suspend != nil && *o.Spec.Suspend && o.Annotations[resources.AnnotationSuspendReason] == reason {
			continue
		}
		yes, now := true, o.DeepCopy()
		now.Spec.Suspend = &yes
		if now.Annotations == nil {
			now.Annotations = map[string]string{}
		}
		now.Annotations[resources.AnnotationSuspendReason] = reason
		if err := r.client.Patch(ctx, now, client.MergeFrom(o), objectOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("suspend %s: %w", o.Name, err)
		}
	}
	if it.backup == nil && it.drill == nil && it.status.Suspended == "" && len(it.status.Databases) == 0 {
		return nil // it was never backed up: nothing to tell
	}
	r.setSuspended(it, reason)
	return nil
}

// resume takes back what suspend said; applying lifts the suspension.
func (r *reconciler) resume(ctx context.Context, it *state) error {
	for _, o := range []*batchv1.CronJob{it.backup, it.drill} {
		if o == nil || it.request.Suspend || o.Annotations[resources.AnnotationSuspendReason] == "" {
			continue
		}
		now := o.DeepCopy()
		delete(now.Annotations, resources.AnnotationSuspendReason)
		if err := r.client.Patch(ctx, now, client.MergeFrom(o), objectOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("resume %s: %w", o.Name, err)
		}
	}
	return nil
}

// refuse keeps what is there: yesterday's backup of a database is better than
// none because of today's mistake.
func (r *reconciler) refuse(it *state) error {
	var lines []string
	for _, refusal := range it.refusals {
		lines = append(lines, refusal.Error())
	}
	if !slices.Equal(lines, it.status.Refused) {
		r.recordEvent(it, corev1.EventTypeWarning, "BackupRefused", "%s", strings.Join(lines, "; "))
	}
	it.status.Refused = lines
	return nil
}
