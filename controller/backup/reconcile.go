package backup

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/backup/resources"
)

type reconciler struct {
	client      client.Client
	live        client.Reader
	events      events.EventRecorder
	config      func() resources.Config
	metrics     *Metrics
	deletedPods *deletedPods
	apply       applier
}

// state is one look at one StatefulSet: what is there, and what is known.
type state struct {
	name     types.NamespacedName
	set      *appsv1.StatefulSet // nil: there is none
	backup   *batchv1.CronJob    // nil: there is none
	drill    *batchv1.CronJob
	optedIn  bool
	request  backupapi.Request
	refusals []backupapi.Refusal
	status   backupapi.Status // as annotated, then as it is now
}

// Reconcile makes the CronJobs of a StatefulSet what it asks for, and tells what
// their pods did.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	it := &state{name: req.NamespacedName}
	for _, step := range []func(context.Context, *state) error{r.read, r.countAttempts, r.converge, r.startRequestedRun, r.writeStatus} {
		if err := step(ctx, it); errors.Is(err, errNothing) {
			r.metrics.forget(it.name)
			r.deletedPods.forget(it.name)
			return reconcile.Result{}, nil
		} else if err != nil {
			return reconcile.Result{}, fmt.Errorf("back up %s: %w", it.name, err)
		}
	}
	return reconcile.Result{}, nil
}

// errNothing ends a round: nothing was asked for, and nothing is there.
var errNothing = errors.New("nothing to do")

func (r *reconciler) read(ctx context.Context, it *state) error {
	var err error
	if it.set, err = get(ctx, r.client, it.name, &appsv1.StatefulSet{}); err != nil {
		return err
	}
	if it.set != nil && it.set.DeletionTimestamp != nil {
		it.set = nil
	}
	if it.backup, err = r.getOwned(ctx, it.name.Namespace, resources.BackupName(it.name.Name), it.name.Name); err != nil {
		return err
	}
	if it.drill, err = r.getOwned(ctx, it.name.Namespace, resources.DrillName(it.name.Name), it.name.Name); err != nil {
		return err
	}
	if it.backup == nil && it.drill == nil && (it.set == nil || !backupapi.HasKeys(it.set.Annotations)) {
		return errNothing
	}
	return r.understand(ctx, it)
}

func (r *reconciler) understand(ctx context.Context, it *state) error {
	ns, err := get(ctx, r.client, types.NamespacedName{Name: it.name.Namespace}, namespaceMetadata())
	if err != nil {
		return err
	}
	if ns == nil || ns.DeletionTimestamp != nil {
		return errNothing // nothing can be made there any more
	}
	it.optedIn = ns.Labels[injection.LabelWiring] == injection.WiringEnabled
	var annotations map[string]string
	if it.set != nil {
		annotations = it.set.Annotations
	}
	it.request, it.refusals = backupapi.ParseStatefulSet(r.config().DefaultRequest(), it.name.Namespace, it.name.Name, annotations)
	text := annotations[backupapi.AnnotationStatus]
	if it.backup != nil && it.backup.Annotations[backupapi.AnnotationStatus] != "" {
		text = it.backup.Annotations[backupapi.AnnotationStatus]
	}
	if it.status, err = backupapi.ParseStatus(text); err != nil {
		r.recordEvent(it, corev1.EventTypeWarning, "BackupStatusUnreadable", "the annotation was written over: %s", err)
	}
	// What this process knows is newer than what its cache holds: nobody else writes it.
	if known, ok := r.metrics.of(it.name); ok {
		it.status = known
	}
	return nil
}

// getOwned is a CronJob that was made for the StatefulSet, and not another's whose
// cut name happens to be the same.
func (r *reconciler) getOwned(ctx context.Context, namespace, name, statefulSet string) (*batchv1.CronJob, error) {
	o, err := get(ctx, r.client, types.NamespacedName{Namespace: namespace, Name: name}, &batchv1.CronJob{})
	if o != nil && o.Labels[resources.LabelStatefulSet] != statefulSet {
		return nil, err
	}
	return o, err
}

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

// writeStatus writes what is known where it is kept, and where users look.
func (r *reconciler) writeStatus(ctx context.Context, it *state) error {
	if it.status.Empty() {
		return nil // never backed up
	}
	r.metrics.set(it.name, it.status)
	value := it.status.Encode()
	// What this round created is not in the cache: the one that follows annotates it.
	for _, o := range []client.Object{objectOrNil(it.backup), objectOrNil(it.set)} {
		if o == nil {
			continue
		}
		if err := r.apply.annotate(ctx, o, backupapi.AnnotationStatus, value); apierrors.IsConflict(err) {
			continue // deleted since
		} else if err != nil {
			return err
		}
	}
	return nil
}

func objectOrNil[T any, P interface {
	*T
	client.Object
}](o P) client.Object {
	if o == nil {
		return nil
	}
	return o
}
