// Package servicemonitor is the controller that creates a ServiceMonitor of the Prometheus
// Operator for each Service that selects wired pods.
package servicemonitor

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/nova/novawire/api/injection"
)

// Options configures the controller.
type Options struct {
	// Labels are set on each ServiceMonitor: those by which Prometheus selects them.
	Labels map[string]string
}

// Installed reports whether the cluster has the Prometheus Operator's ServiceMonitors.
func Installed(mapper meta.RESTMapper) (bool, error) {
	_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	return err == nil, err
}

// Add registers the controller. It must run on one replica at a time. It has a cache of its
// own, which holds no other pods than wired ones, and their metadata alone.
func Add(mgr manager.Manager, o Options) error {
	own, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(), DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			podMetadata():     {Label: labels.SelectorFromSet(labels.Set{injection.LabelMetrics: "true"})},
			monitorMetadata(): {Label: labels.SelectorFromSet(labels.Set{labelManagedBy: managedBy})},
		},
	})
	if err != nil {
		return fmt.Errorf("create the cache of Services: %w", err)
	}
	if err := mgr.Add(own); err != nil {
		return fmt.Errorf("add the cache of Services: %w", err)
	}
	r := &reconciler{cache: own, client: mgr.GetClient(), labels: o.Labels}
	skipNameValidation := true // each new term as leader registers the controller again
	return builder.ControllerManagedBy(mgr).
		Named("servicemonitor").
		WithOptions(controller.Options{SkipNameValidation: &skipNameValidation}).
		WatchesRawSource(source.Kind(own, &corev1.Service{}, &handler.TypedEnqueueRequestForObject[*corev1.Service]{})).
		WatchesRawSource(source.Kind(own, podMetadata(), handler.TypedEnqueueRequestsFromMapFunc(r.servicesOfPod),
			predicate.TypedLabelChangedPredicate[*metav1.PartialObjectMetadata]{})).
		WatchesRawSource(source.Kind(own, monitorMetadata(), handler.TypedEnqueueRequestsFromMapFunc(serviceOfMonitor))).
		Complete(r)
}

// servicesOfPod maps a wired pod to the Services that select it.
func (r *reconciler) servicesOfPod(ctx context.Context, pod *metav1.PartialObjectMetadata) (requests []reconcile.Request) {
	var services corev1.ServiceList
	if err := r.cache.List(ctx, &services, client.InNamespace(pod.Namespace)); err != nil {
		return nil // the cache is stopped: the manager is shutting down
	}
	for _, s := range services.Items {
		if selects(&s, pod.Labels) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&s)})
		}
	}
	return requests
}

// serviceOfMonitor maps one of our ServiceMonitors to its Service.
func serviceOfMonitor(_ context.Context, m *metav1.PartialObjectMetadata) []reconcile.Request {
	owner := metav1.GetControllerOf(m)
	if owner == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: owner.Name}}}
}

func podMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
}

func monitorMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(kind)
	return m
}
