// Package drift is the controller that compares the pods of namespaces that opted in with what
// admission would do with them now. It reports pods that are not wired, that were wired with an
// older configuration, or that were changed afterwards; controller/repair replaces them.
package drift

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
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

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
)

// Engine decides about the pods. It is the engine of admission, so that both decide alike.
type Engine interface {
	// State returns the state of a pod of a namespace with these annotations.
	State(pod *corev1.Pod, annotations map[string]string) (State, error)
	// Hash returns the hash of the configuration that applies in a namespace.
	Hash(namespace string) string
}

// State is the state of one pod.
type State struct {
	injection.PodState
	Reason  string // as the reason of an Event
	Message string
	// Act reports whether somebody has to act on it: the Event is a warning.
	Act bool
}

// Options configures the controller.
type Options struct {
	// Engine returns the engine of the current configuration.
	Engine  func() Engine
	Metrics *Metrics
	// Changed receives an event when the configuration changes.
	Changed <-chan event.GenericEvent
	// Found receives the workloads of a namespace that have missing or stale pods, each time
	// that the namespace is compared; nil if nobody repairs them.
	Found func(namespace string, owners []workload.Owner)
	// Cache is that of [NewCache], and somebody starts it. It is shared, because the pods of a
	// large cluster are most of the manager's memory.
	Cache cache.Cache
}

// NewCache creates a cache of Namespaces, and of the parts of pods that admission and the
// ledger read. The options have the scheme, and what is shared with other caches.
func NewCache(config *rest.Config, o cache.Options) (cache.Cache, error) {
	o.DefaultTransform = cache.TransformStripManagedFields()
	o.ByObject = map[client.Object]cache.ByObject{&corev1.Pod{}: {Transform: transform}}
	c, err := cache.New(config, o)
	if err != nil {
		return nil, fmt.Errorf("create the cache of pods: %w", err)
	}
	return c, nil
}

// batch is the time from the first change of a pod of a namespace until the namespace is
// compared: a workload creates and deletes many pods at once.
const batch = time.Second

// Add registers the controller. It must run on one replica at a time. The cache outlives it:
// what it still tells a controller that was stopped goes to a queue that takes nothing.
func Add(mgr manager.Manager, o Options) error {
	r := newReconciler(o.Cache, mgr.GetClient(), mgr.GetEventRecorder("novawire-drift"), o)
	skipNameValidation := true // each new term as leader registers the controller again
	return builder.ControllerManagedBy(mgr).
		Named("drift").
		WithOptions(controller.Options{SkipNameValidation: &skipNameValidation}).
		WatchesRawSource(source.Kind(o.Cache, namespaceMetadata(), &handler.TypedEnqueueRequestForObject[*metav1.PartialObjectMetadata]{}, namespaceChanged{})).
		WatchesRawSource(source.Kind(o.Cache, &corev1.Pod{}, laterForNamespace(), podChanged{})).
		WatchesRawSource(source.TypedChannel(o.Changed, handler.TypedEnqueueRequestsFromMapFunc(r.allNamespaces))).
		Complete(r)
}

// laterForNamespace requests the comparison of the pod's namespace once for all changes of
// one batch.
func laterForNamespace() handler.TypedEventHandler[*corev1.Pod, reconcile.Request] {
	later := func(pod *corev1.Pod, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		queue.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Name: pod.Namespace}}, batch)
	}
	type limited = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.TypedFuncs[*corev1.Pod, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*corev1.Pod], q limited) { later(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*corev1.Pod], q limited) { later(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*corev1.Pod], q limited) { later(e.Object, q) },
	}
}

// podChanged ignores updates of a pod that cannot change its state: those of its status.
type podChanged struct {
	predicate.TypedFuncs[*corev1.Pod]
}

// Update implements [predicate.TypedPredicate].
func (podChanged) Update(e event.TypedUpdateEvent[*corev1.Pod]) bool {
	return Counts(e.ObjectOld) != Counts(e.ObjectNew) || !maps.Equal(e.ObjectOld.Labels, e.ObjectNew.Labels) ||
		!maps.Equal(e.ObjectOld.Annotations, e.ObjectNew.Annotations) || images(e.ObjectOld) != images(e.ObjectNew)
}

// images returns what can be changed of the containers of a pod that exists.
func images(pod *corev1.Pod) (all string) {
	for _, list := range [...][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			all += list[i].Image + "\n"
		}
	}
	return all
}

// namespaceChanged ignores updates of a namespace that change neither labels nor annotations.
type namespaceChanged struct {
	predicate.TypedFuncs[*metav1.PartialObjectMetadata]
}

// Update implements [predicate.TypedPredicate].
func (namespaceChanged) Update(e event.TypedUpdateEvent[*metav1.PartialObjectMetadata]) bool {
	return !maps.Equal(e.ObjectOld.Labels, e.ObjectNew.Labels) || !maps.Equal(e.ObjectOld.Annotations, e.ObjectNew.Annotations)
}

// allNamespaces maps a changed configuration to every namespace.
func (r *reconciler) allNamespaces(ctx context.Context, _ client.Object) (requests []reconcile.Request) {
	namespaces := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}}
	if err := r.cache.List(ctx, namespaces); err != nil {
		return nil // the cache is stopped: the manager is shutting down
	}
	for _, ns := range namespaces.Items {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: ns.Name}})
	}
	return requests
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
}
