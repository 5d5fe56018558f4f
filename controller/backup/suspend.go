package backup

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// Why CronJobs are suspended, as users read it, as are reasonDeleted and reasonDisabled.
const reasonNamespace = "the namespace is labelled " + backupapi.LabelNamespace + ": " + backupapi.NamespaceDisabled

func reasonDeleted(s backupapi.Source) string {
	return "the " + string(s.Kind) + " was deleted; its backups are kept"
}

func reasonDisabled(s backupapi.Source) string {
	return backupapi.AnnotationEnabled + " is not true on the " + string(s.Kind)
}

// suspend patches the CronJobs to start nothing and writes the reason on each. It
// changes nothing else: what they would have to be is no longer known.
func (r *reconciler) suspend(ctx context.Context, s *state, reason string) error {
	for _, o := range []*batchv1.CronJob{s.backup, s.drill} {
		if o == nil || o.Spec.Suspend != nil && *o.Spec.Suspend && o.Annotations[resources.AnnotationSuspendReason] == reason {
			continue
		}
		yes, changed := true, o.DeepCopy()
		changed.Spec.Suspend = &yes
		if changed.Annotations == nil {
			changed.Annotations = map[string]string{}
		}
		changed.Annotations[resources.AnnotationSuspendReason] = reason
		if err := r.client.Patch(ctx, changed, client.MergeFrom(o), objectOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("suspend %s: %w", o.Name, err)
		}
	}
	neverBackedUp := s.backup == nil && s.drill == nil && s.status.Suspended == "" && len(s.status.Databases) == 0
	if neverBackedUp && !s.request.Enabled {
		return nil // nothing changes for its users
	}
	r.setSuspended(s, reason)
	return nil
}

// resume removes the reason that suspend wrote. Applying the CronJob ends the
// suspension itself.
func (r *reconciler) resume(ctx context.Context, s *state) error {
	for _, o := range []*batchv1.CronJob{s.backup, s.drill} {
		if o == nil || s.request.Suspend || o.Annotations[resources.AnnotationSuspendReason] == "" {
			continue
		}
		changed := o.DeepCopy()
		delete(changed.Annotations, resources.AnnotationSuspendReason)
		if err := r.client.Patch(ctx, changed, client.MergeFrom(o), objectOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("resume %s: %w", o.Name, err)
		}
	}
	return nil
}

// setSuspended stores why no run starts on schedule, "" if runs do start, and
// records an Event when that changes.
func (r *reconciler) setSuspended(s *state, reason string) {
	switch {
	case reason == s.status.Suspended:
	case reason != "":
		r.recordEvent(s, corev1.EventTypeWarning, "BackupSuspended", "%s", reason)
	default:
		r.recordEvent(s, corev1.EventTypeNormal, "BackupResumed", "resolved: %s", s.status.Suspended)
	}
	s.status.Suspended = reason
}
