// Package backup is the controller that creates backup and drill CronJobs for annotated
// PostgreSQL StatefulSets and records the results of their pods as Events, a status
// annotation and metrics. It never reads or deletes a backup.
package backup

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// Options configures the controller.
type Options struct {
	Config   func() resources.Config // returns the current configuration
	Statuses *StatusCache
	// Changed receives an event when the configuration changes.
	Changed <-chan event.GenericEvent
}

// CacheOptions limits the informers to the objects that Novawire manages, except for
// StatefulSets and Namespaces.
func CacheOptions() cache.Options {
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{resources.LabelManagedBy: resources.ManagedBy})}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&batchv1.CronJob{}: own, &batchv1.Job{}: own, &corev1.Pod{}: own, &corev1.ServiceAccount{}: own, &networkingv1.NetworkPolicy{}: own,
		},
	}
}

// Add registers the controller. It must run on one replica at a time.
func Add(mgr manager.Manager, o Options) error {
	o.Statuses.Reset()
	r := &reconciler{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), events: mgr.GetEventRecorder("novawire-backup"),
		config: o.Config, statuses: o.Statuses, deletedPods: newDeletedPods(),
		apply: applier{client: mgr.GetClient(), live: mgr.GetAPIReader()},
	}
	skipNameValidation := true // each new term as leader registers the controller again
	return builder.ControllerManagedBy(mgr).
		Named("backup").
		WithOptions(controller.Options{SkipNameValidation: &skipNameValidation, MaxConcurrentReconciles: 4}).
		For(&appsv1.StatefulSet{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: hasBackupKeys})).
		Watches(&batchv1.CronJob{}, handler.EnqueueRequestsFromMapFunc(statefulSetFromLabel)).
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(statefulSetFromLabel), builder.WithPredicates(predicate.Funcs{DeleteFunc: func(event.DeleteEvent) bool { return false }})).
		Watches(&corev1.ServiceAccount{}, handler.EnqueueRequestsFromMapFunc(statefulSetFromLabel)).
		Watches(&networkingv1.NetworkPolicy{}, handler.EnqueueRequestsFromMapFunc(statefulSetFromLabel)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(statefulSetFromLabel), builder.WithPredicates(predicate.Funcs{DeleteFunc: r.deletedPods.add})).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.statefulSetsOfNamespace), builder.WithPredicates(predicate.Or(predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WatchesRawSource(source.Channel(o.Changed, handler.EnqueueRequestsFromMapFunc(r.allStatefulSets))).
		Complete(r)
}

// hasBackupKeys reports whether the StatefulSet has or had a backup annotation.
func hasBackupKeys(e event.UpdateEvent) bool {
	return backupapi.HasKeys(e.ObjectNew.GetAnnotations()) || backupapi.HasKeys(e.ObjectOld.GetAnnotations())
}

// statefulSetFromLabel maps an object to the StatefulSet that it was made for.
func statefulSetFromLabel(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[resources.LabelStatefulSet]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

// statefulSetsOfNamespace maps a namespace to its annotated StatefulSets.
func (r *reconciler) statefulSetsOfNamespace(ctx context.Context, ns client.Object) []reconcile.Request {
	return r.listAnnotated(ctx, client.InNamespace(ns.GetName()))
}

// allStatefulSets maps a changed configuration to every annotated StatefulSet.
func (r *reconciler) allStatefulSets(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.listAnnotated(ctx)
}

func (r *reconciler) listAnnotated(ctx context.Context, in ...client.ListOption) (requests []reconcile.Request) {
	var list appsv1.StatefulSetList
	if err := r.client.List(ctx, &list, in...); err != nil {
		return nil // the cache is stopped: the manager is shutting down
	}
	for _, s := range list.Items {
		if backupapi.HasKeys(s.Annotations) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)})
		}
	}
	return requests
}

// namespaceMetadata returns the metadata-only type that is cached of a namespace.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
}
