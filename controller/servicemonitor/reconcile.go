package servicemonitor

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nova/novawire/api/injection"
)

type reconciler struct {
	cache  client.Reader
	client client.Client
	labels map[string]string // of each ServiceMonitor
}

// Reconcile applies or deletes the ServiceMonitor of a Service. That of a deleted Service is
// deleted by the garbage collector.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var service corev1.Service
	if err := r.cache.Get(ctx, request.NamespacedName, &service); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if service.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	wanted, err := r.wanted(ctx, &service)
	if err != nil {
		return reconcile.Result{}, err
	}
	have := monitorMetadata()
	err = r.cache.Get(ctx, client.ObjectKey{Namespace: service.Namespace, Name: monitorName(service.Name)}, have)
	exists := err == nil
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("read the ServiceMonitor of %s: %w", request, err)
	}
	switch {
	case !wanted && exists && metav1.IsControlledBy(have, &service):
		return reconcile.Result{}, r.delete(ctx, have)
	case !wanted:
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.apply(ctx, &service, have)
}

// wanted reports whether the Service selects wired pods and does not opt out.
func (r *reconciler) wanted(ctx context.Context, s *corev1.Service) (bool, error) {
	if s.Annotations[injection.AnnotationServiceMonitor] == "false" || len(s.Spec.Selector) == 0 {
		return false, nil
	}
	pods := &metav1.PartialObjectMetadataList{TypeMeta: podMetadata().TypeMeta}
	err := r.cache.List(ctx, pods, client.InNamespace(s.Namespace), client.MatchingLabels(s.Spec.Selector), client.Limit(1))
	if err != nil {
		return false, fmt.Errorf("list the pods of Service %s/%s: %w", s.Namespace, s.Name, err)
	}
	return len(pods.Items) > 0, nil
}

// apply writes the ServiceMonitor unless it is as it was last applied.
func (r *reconciler) apply(ctx context.Context, s *corev1.Service, have *metav1.PartialObjectMetadata) error {
	monitor, err := monitorOf(s, r.labels)
	if err != nil {
		return err
	}
	if have.Annotations[annotationAppliedHash] == monitor.GetAnnotations()[annotationAppliedHash] && metav1.IsControlledBy(have, s) {
		return nil
	}
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(monitor), client.FieldOwner(managedBy), client.ForceOwnership); err != nil {
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		return fmt.Errorf("apply the ServiceMonitor of %s/%s: %w", s.Namespace, s.Name, err)
	}
	log.FromContext(ctx).Info("ServiceMonitor applied", "service", s.Name)
	return nil
}

func (r *reconciler) delete(ctx context.Context, have *metav1.PartialObjectMetadata) error {
	if err := r.client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the ServiceMonitor %s/%s: %w", have.Namespace, have.Name, err)
	}
	log.FromContext(ctx).Info("ServiceMonitor deleted: the Service selects no wired pod, or opts out", "name", have.Name)
	return nil
}

func selects(s *corev1.Service, pod map[string]string) bool {
	return len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod))
}
