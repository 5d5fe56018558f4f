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
	secrets     bool // Secrets are watched
	statuses    *StatusCache
	deletedPods *deletedPods
	apply       applier
}

// state is what one reconciliation has read and computed for one source.
type state struct {
	source    backupapi.Source
	object    client.Object    // nil if it does not exist or is being deleted
	backup    *batchv1.CronJob // nil if it does not exist
	drill     *batchv1.CronJob // nil if it does not exist
	namespace client.Object
	accounts  map[string]string // annotations of ServiceAccounts, from the namespace
	request   backupapi.Request
	refusals  []validate.Refusal
	status    backupapi.Status // as it was stored, then updated step by step
}

// Reconcile creates, updates or suspends the CronJobs of one source and records what
// their pods reported.
func (r *reconciler) Reconcile(ctx context.Context, source backupapi.Source) (reconcile.Result, error) {
	if err := r.reconcile(ctx, source); err != nil {
		return reconcile.Result{}, fmt.Errorf("reconcile backup of %s: %w", source, err)
	}
	return reconcile.Result{}, nil
}

func (r *reconciler) reconcile(ctx context.Context, source backupapi.Source) error {
	s, err := r.read(ctx, source)
	if err != nil {
		return err
	}
	if s == nil { // no backup was requested, and none of our objects exists
		r.statuses.forget(source)
		r.deletedPods.forget(source)
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

// read returns nil if there is nothing to reconcile: the source requests no backup and
// has no CronJob, or its namespace is being deleted.
func (r *reconciler) read(ctx context.Context, source backupapi.Source) (*state, error) {
	s := &state{source: source}
	var err error
	if s.object, err = r.readObject(ctx, source); err != nil {
		return nil, err
	}
	var annotations map[string]string
	if s.object != nil {
		annotations = s.object.GetAnnotations()
	}
	if s.backup, err = r.getOwned(ctx, source, resources.BackupName(source)); err != nil {
		return nil, err
	}
	if s.drill, err = r.getOwned(ctx, source, resources.DrillName(source)); err != nil {
		return nil, err
	}
	if s.backup == nil && s.drill == nil && !backupapi.HasKeys(annotations) {
		return nil, nil
	}
	namespace, err := get(ctx, r.client, types.NamespacedName{Name: source.Namespace}, namespaceMetadata())
	if err != nil {
		return nil, err
	}
	if namespace == nil || namespace.DeletionTimestamp != nil {
		return nil, nil // the API server refuses new objects in it
	}
	s.namespace = namespace
	s.request, s.refusals = backupapi.ParseSource(r.config().DefaultRequest(), source, annotations)
	var refused []validate.Refusal
	if s.accounts, refused = s.request.Policy.ParseServiceAccountAnnotations(namespace.Annotations); s.request.ServiceAccount == "" {
		s.refusals = append(s.refusals, refused...)
	}
	switch {
	case s.object != nil:
		s.refusals = append(s.refusals, s.target().Check()...)
	case r.blind(source):
		s.refusals = []validate.Refusal{{Setting: backupapi.AnnotationEnabled, Problem: backupapi.SecretsNotWatched}}
	}
	s.status = r.storedStatus(s, annotations)
	if _, set := s.object.(*appsv1.StatefulSet); s.object != nil && !set {
		s.status.UnprotectedReason = s.request.UnprotectedReason
	}
	return s, nil
}

// blind reports whether the source cannot be read. That is no deletion: its CronJobs
// keep running.
func (r *reconciler) blind(source backupapi.Source) bool {
	return source.Kind == backupapi.KindSecret && !r.secrets
}

// readObject returns nil if the object does not exist, is being deleted or cannot be
// read. Of a Secret it reads the metadata.
func (r *reconciler) readObject(ctx context.Context, source backupapi.Source) (client.Object, error) {
	if r.blind(source) {
		return nil, nil
	}
	var o client.Object
	switch source.Kind {
	case backupapi.KindStatefulSet:
		o = &appsv1.StatefulSet{}
	case backupapi.KindService:
		o = &corev1.Service{}
	default:
		o = secretMetadata()
	}
	err := r.client.Get(ctx, types.NamespacedName{Namespace: source.Namespace, Name: source.Name}, o)
	if apierrors.IsNotFound(err) || err == nil && o.GetDeletionTimestamp() != nil {
		return nil, nil
	}
	return o, err
}

// namespaceRefuses reports whether the namespace has the label that refuses backups.
func (s *state) namespaceRefuses() bool {
	return s.namespace.GetLabels()[backupapi.LabelNamespace] == backupapi.NamespaceDisabled
}

// storedStatus returns the status of this process's cache, else that of the
// CronJob, else that of the source. The status cache is newer than the
// informer's: nobody else writes the annotation.
func (r *reconciler) storedStatus(s *state, annotations map[string]string) backupapi.Status {
	if known, ok := r.statuses.get(s.source); ok {
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

// getOwned returns the CronJob of a name if it was made for the source.
func (r *reconciler) getOwned(ctx context.Context, source backupapi.Source, name string) (*batchv1.CronJob, error) {
	o, err := get(ctx, r.client, types.NamespacedName{Namespace: source.Namespace, Name: name}, &batchv1.CronJob{})
	if o != nil && !resources.IsMadeFor(o, source) {
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
// would overwrite each other endlessly. Secrets and Services get none either: the right
// to annotate them is the right to change them.
func (r *reconciler) writeStatus(ctx context.Context, s *state) error {
	if s.status.Empty() {
		return nil // never backed up
	}
	r.statuses.set(s.source, s.status)
	value := s.status.Encode()
	// A CronJob that this reconciliation created is not in the informer's cache
	// yet: its own event starts the reconciliation that annotates it.
	if s.backup != nil {
		if err := r.apply.annotate(ctx, s.backup, backupapi.AnnotationStatus, value); err != nil {
			return err
		}
	}
	if set, ok := s.object.(*appsv1.StatefulSet); ok && metav1.GetControllerOf(set) == nil {
		return r.apply.annotate(ctx, set, backupapi.AnnotationStatus, value)
	}
	return nil
}
