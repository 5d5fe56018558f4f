// Package backup is the controller that creates backup and drill CronJobs for annotated
// StatefulSets, Secrets and Services of PostgreSQL servers and records the results of
// their pods as Events, a status annotation and metrics. It never reads or deletes a
// backup, and never reads the content of a Secret.
package backup

import (
	"context"
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
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
	// Secrets watches the metadata of Secrets, for which RBAC requires the right to
	// read them all.
	Secrets bool
}

// CacheOptions limits the informers to what the controller reads: the objects that
// Novawire manages, StatefulSets, Namespaces, and annotated Secrets and Services.
func CacheOptions() cache.Options {
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{resources.LabelManagedBy: resources.ManagedBy})}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&batchv1.CronJob{}: own, &batchv1.Job{}: own, &corev1.Pod{}: own, &corev1.ServiceAccount{}: own, &networkingv1.NetworkPolicy{}: own,
			&corev1.Service{}: {Transform: strip}, &corev1.Secret{}: {Transform: strip},
		},
	}
}

// strip removes what the controller does not read: all of an object that requests no
// backup, and other annotations. kubectl apply stores the content of a Secret in one.
func strip(o any) (any, error) {
	accessor, err := meta.Accessor(o)
	if err != nil {
		return o, nil //nolint:nilerr // a tombstone
	}
	accessor.SetManagedFields(nil)
	annotations := maps.Clone(accessor.GetAnnotations())
	maps.DeleteFunc(annotations, func(key, _ string) bool { return !strings.HasPrefix(key, backupapi.AnnotationPrefix) })
	accessor.SetAnnotations(annotations)
	if len(annotations) > 0 {
		return o, nil
	}
	accessor.SetLabels(nil)
	if service, ok := o.(*corev1.Service); ok {
		service.Spec, service.Status = corev1.ServiceSpec{}, corev1.ServiceStatus{}
	}
	return o, nil
}

// Add registers the controller. It must run on one replica at a time.
func Add(mgr manager.Manager, o Options) error {
	o.Statuses.Reset()
	r := &reconciler{
		client: mgr.GetClient(), live: mgr.GetAPIReader(), events: mgr.GetEventRecorder("novawire-backup"),
		config: o.Config, secrets: o.Secrets, statuses: o.Statuses, deletedPods: newDeletedPods(),
		apply: applier{client: mgr.GetClient(), live: mgr.GetAPIReader()},
	}
	skipNameValidation := true // each new term as leader registers the controller again
	requests := builder.WithPredicates(predicate.Funcs{CreateFunc: requestsBackup, UpdateFunc: hasBackupKeys})
	made := handler.TypedEnqueueRequestsFromMapFunc(sourceMadeFor)
	b := builder.TypedControllerManagedBy[backupapi.Source](mgr).
		Named("backup").
		WithOptions(controller.TypedOptions[backupapi.Source]{SkipNameValidation: &skipNameValidation, MaxConcurrentReconciles: 4}).
		Watches(&appsv1.StatefulSet{}, handler.TypedEnqueueRequestsFromMapFunc(itself), requests).
		Watches(&corev1.Service{}, handler.TypedEnqueueRequestsFromMapFunc(itself), requests).
		Watches(&batchv1.CronJob{}, made).
		Watches(&batchv1.Job{}, made, builder.WithPredicates(predicate.Funcs{DeleteFunc: func(event.DeleteEvent) bool { return false }})).
		Watches(&corev1.ServiceAccount{}, made).
		Watches(&networkingv1.NetworkPolicy{}, made).
		Watches(&corev1.Pod{}, made, builder.WithPredicates(predicate.Funcs{DeleteFunc: r.deletedPods.add})).
		WatchesMetadata(&corev1.Namespace{}, handler.TypedEnqueueRequestsFromMapFunc(r.sourcesOfNamespace), builder.WithPredicates(predicate.Or(predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WatchesRawSource(source.TypedChannel(o.Changed, handler.TypedEnqueueRequestsFromMapFunc(r.allSources)))
	if o.Secrets {
		b = b.WatchesMetadata(&corev1.Secret{}, handler.TypedEnqueueRequestsFromMapFunc(itself), requests)
	}
	return b.Complete(r)
}

// requestsBackup reports whether an object has a backup annotation. If it was removed
// while nobody watched, the event of the CronJob starts the reconciliation.
func requestsBackup(e event.CreateEvent) bool { return backupapi.HasKeys(e.Object.GetAnnotations()) }

// hasBackupKeys reports whether the object has or had a backup annotation.
func hasBackupKeys(e event.UpdateEvent) bool {
	return backupapi.HasKeys(e.ObjectNew.GetAnnotations()) || backupapi.HasKeys(e.ObjectOld.GetAnnotations())
}

// itself maps a StatefulSet, Secret or Service to the source that it is.
func itself(_ context.Context, o client.Object) []backupapi.Source {
	return []backupapi.Source{resources.SourceOf(o)}
}

// sourceMadeFor maps an object to the source that it was made for.
func sourceMadeFor(_ context.Context, o client.Object) []backupapi.Source {
	if source, ok := resources.MadeFor(o); ok {
		return []backupapi.Source{source}
	}
	return nil
}

// sourcesOfNamespace maps a namespace to its sources.
func (r *reconciler) sourcesOfNamespace(ctx context.Context, ns client.Object) []backupapi.Source {
	return r.listSources(ctx, client.InNamespace(ns.GetName()))
}

// allSources maps a changed configuration to every source.
func (r *reconciler) allSources(ctx context.Context, _ client.Object) []backupapi.Source {
	return r.listSources(ctx)
}

func (r *reconciler) listSources(ctx context.Context, in ...client.ListOption) (sources []backupapi.Source) {
	lists := []client.ObjectList{&appsv1.StatefulSetList{}, &corev1.ServiceList{}}
	if r.secrets {
		lists = append(lists, secretMetadataList())
	}
	for _, list := range lists {
		if err := r.client.List(ctx, list, in...); err != nil {
			return nil // the cache is stopped: the manager is shutting down
		}
		_ = meta.EachListItem(list, func(item runtime.Object) error {
			if o, ok := item.(client.Object); ok && backupapi.HasKeys(o.GetAnnotations()) {
				sources = append(sources, resources.SourceOf(o))
			}
			return nil
		})
	}
	return sources
}

// namespaceMetadata returns the metadata-only type that is cached of a namespace.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
}

func secretMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
}

func secretMetadataList() *metav1.PartialObjectMetadataList {
	return &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "SecretList"}}
}
