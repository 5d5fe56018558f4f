package backup

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/validate"
)

type reconciler struct {
	client      client.Client
	live        client.Reader // reads past the cache
	events      events.EventRecorder
	config      func() resources.Config
	statuses    *StatusCache
	deletedPods *deletedPods
	apply       applier
}

// state is what one reconciliation has read and computed for one StatefulSet.
type state struct {
	name      types.NamespacedName
	set       *appsv1.StatefulSet // nil if it does not exist or is being deleted
	backup    *batchv1.CronJob    // nil if it does not exist
	drill     *batchv1.CronJob    // nil if it does not exist
	namespace client.Object
	accounts  map[string]string // annotations of ServiceAccounts, from the namespace
	request   backupapi.Request
	refusals  []validate.Refusal
	status    backupapi.Status // as it was stored, then updated step by step
}

// Reconcile creates, updates or suspends the CronJobs of one StatefulSet and
// records what their pods reported.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if err := r.reconcile(ctx, req.NamespacedName); err != nil {
		return reconcile.Result{}, fmt.Errorf("reconcile backup of %s: %w", req.NamespacedName, err)
	}
	return reconcile.Result{}, nil
}

func (r *reconciler) reconcile(ctx context.Context, name types.NamespacedName) error {
	s, err := r.read(ctx, name)
	if err != nil {
		return err
	}
	if s == nil { // no backup was requested, and none of our objects exists
		r.statuses.forget(name)
		r.deletedPods.forget(name)
		return nil
	}
	if err := r.recordAttempts(ctx, s); err != nil {
		return err
	}
	if err := r.converge(ctx, s); err != nil {
		return err
	}
	if err := r.startRequestedRun(ctx, s); err != nil {
		return err
	}
	return r.writeStatus(ctx, s)
}

// read returns nil if there is nothing to reconcile: the StatefulSet requests no
// backup and has no CronJob, or its namespace is being deleted.
func (r *reconciler) read(ctx context.Context, name types.NamespacedName) (*state, error) {
	s := &state{name: name}
	var err error
	if s.set, err = get(ctx, r.client, name, &appsv1.StatefulSet{}); err != nil {
		return nil, err
	}
	if s.set != nil && s.set.DeletionTimestamp != nil {
		s.set = nil
	}
	if s.backup, err = r.getOwned(ctx, name, resources.BackupName(name.Name)); err != nil {
		return nil, err
	}
	if s.drill, err = r.getOwned(ctx, name, resources.DrillName(name.Name)); err != nil {
		return nil, err
	}
	if s.backup == nil && s.drill == nil && (s.set == nil || !backupapi.HasKeys(s.set.Annotations)) {
		return nil, nil
	}
	namespace, err := get(ctx, r.client, types.NamespacedName{Name: name.Namespace}, namespaceMetadata())
	if err != nil {
		return nil, err
	}
	if namespace == nil || namespace.DeletionTimestamp != nil {
		return nil, nil // the API server refuses new objects in it
	}
	s.namespace = namespace
	var annotations map[string]string
	if s.set != nil {
		annotations = s.set.Annotations
	}
	s.request, s.refusals = backupapi.ParseStatefulSet(r.config().DefaultRequest(), name.Namespace, name.Name, annotations)
	var refused []validate.Refusal
	if s.accounts, refused = backupapi.ParseServiceAccountAnnotations(namespace.Annotations); s.request.ServiceAccount == "" {
		s.refusals = append(s.refusals, refused...)
	}
	if s.set != nil {
		s.refusals = append(s.refusals, resources.CheckEngine(s.request, s.set)...)
		s.refusals = append(s.refusals, resources.CheckConnection(s.request, s.set)...)
	}
	s.status = r.storedStatus(s, annotations)
	return s, nil
}

// namespaceRefuses reports whether the namespace has the label that refuses backups.
func (s *state) namespaceRefuses() bool {
	return s.namespace.GetLabels()[backupapi.LabelNamespace] == backupapi.NamespaceDisabled
}

// storedStatus returns the status of this process's cache, else that of the
// CronJob, else that of the StatefulSet. The status cache is newer than the
// informer's: nobody else writes the annotation.
func (r *reconciler) storedStatus(s *state, annotations map[string]string) backupapi.Status {
	if known, ok := r.statuses.get(s.name); ok {
		return known
	}
	text := annotations[backupapi.AnnotationStatus]
	if s.backup != nil && s.backup.Annotations[backupapi.AnnotationStatus] != "" {
		text = s.backup.Annotations[backupapi.AnnotationStatus]
	}
	status, err := backupapi.ParseStatus(text)
	if err != nil {
		r.recordEvent(s, corev1.EventTypeWarning, "BackupStatusUnreadable", "the status annotation is not valid and will be replaced: %s", err)
	}
	return status
}

// getOwned returns the CronJob of a name if it was made for the StatefulSet. Two
// shortened names can be equal, so the label decides.
func (r *reconciler) getOwned(ctx context.Context, set types.NamespacedName, name string) (*batchv1.CronJob, error) {
	o, err := get(ctx, r.client, types.NamespacedName{Namespace: set.Namespace, Name: name}, &batchv1.CronJob{})
	if o != nil && o.Labels[resources.LabelStatefulSet] != resources.LabelValue(set.Name) {
		return nil, err
	}
	return o, err
}

// get returns nil if the object does not exist.
func get[T client.Object](ctx context.Context, from client.Reader, name types.NamespacedName, o T) (T, error) {
	var none T
	err := from.Get(ctx, name, o)
	if apierrors.IsNotFound(err) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	return o, nil
}

// writeStatus stores the status on the CronJob, which is the record, and copies it
// to the StatefulSet, where users look. An operator that owns the StatefulSet may
// remove annotations that it does not know, so such a StatefulSet gets no copy: both
// would overwrite each other endlessly.
func (r *reconciler) writeStatus(ctx context.Context, s *state) error {
	if s.status.Empty() {
		return nil // never backed up
	}
	r.statuses.set(s.name, s.status)
	value := s.status.Encode()
	// A CronJob that this reconciliation created is not in the informer's cache
	// yet: its own event starts the reconciliation that annotates it.
	if s.backup != nil {
		if err := r.apply.annotate(ctx, s.backup, backupapi.AnnotationStatus, value); err != nil {
			return err
		}
	}
	if s.set != nil && metav1.GetControllerOf(s.set) == nil {
		return r.apply.annotate(ctx, s.set, backupapi.AnnotationStatus, value)
	}
	return nil
}
