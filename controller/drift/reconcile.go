package drift

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
)

type reconciler struct {
	cache   client.Reader
	client  client.Client
	events  events.EventRecorder
	engine  func() Engine
	metrics *Metrics
	found   func(namespace string, owners []workload.Owner)

	namespaces map[string]*namespaceCache // one reconciliation runs at a time
	forbidden  bool                       // the status of namespaces may not be written; it was logged
}

// namespaceCache is what the comparison of a namespace remembers. Without it, each would decide
// about every pod again and record each Event again.
type namespaceCache struct {
	hash        string
	annotations map[string]string
	states      map[types.UID]podState
	reported    map[reportKey]bool
}

type podState struct {
	resourceVersion string
	state           State
}

func newReconciler(c client.Reader, writer client.Client, recorder events.EventRecorder, o Options) *reconciler {
	if o.Found == nil {
		o.Found = func(string, []workload.Owner) {}
	}
	return &reconciler{cache: c, client: writer, events: recorder, engine: o.Engine, metrics: o.Metrics, found: o.Found, namespaces: map[string]*namespaceCache{}}
}

// Reconcile compares the pods of a namespace, and reports what differs as metrics, Events and
// the status annotation of the namespace.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	ns := namespaceMetadata()
	err := r.cache.Get(ctx, request.NamespacedName, ns)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("read namespace %s: %w", request.Name, err)
	}
	if err != nil || ns.DeletionTimestamp != nil || !injection.OptedIn(ns.Name, ns.Labels) {
		r.metrics.forget(request.Name)
		delete(r.namespaces, request.Name)
		r.found(request.Name, nil)
		return reconcile.Result{}, r.writeStatus(ctx, ns, "")
	}
	engine := r.engine()
	known := r.remembered(engine.Hash(ns.Name), ns)
	var pods corev1.PodList
	if err := r.cache.List(ctx, &pods, client.InNamespace(ns.Name), client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("list the pods of %s: %w", ns.Name, err)
	}
	numbers, found, states := map[injection.PodState]int{}, reports{}, map[types.UID]podState{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !Counts(pod) {
			continue
		}
		state, err := known.state(engine, pod)
		if err != nil {
			return reconcile.Result{}, fmt.Errorf("compare pod %s/%s: %w", ns.Name, pod.Name, err)
		}
		states[pod.UID] = podState{pod.ResourceVersion, state}
		numbers[state.PodState]++
		found.add(pod, state)
	}
	known.states = states
	r.metrics.set(ns.Name, numbers)
	known.reported = r.record(found, known.reported)
	r.found(ns.Name, found.owners())
	status := injection.NamespaceStatus{
		Config: known.hash, Missing: numbers[injection.PodMissing], Stale: numbers[injection.PodStale], Changed: numbers[injection.PodChanged],
	}
	return reconcile.Result{}, r.writeStatus(ctx, ns, status.String())
}

// Counts reports whether a pod is compared: one that has ended, or is about to, is not.
func Counts(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// remembered returns what is known of a namespace. If the configuration or the annotations of
// the namespace have changed, the states of its pods are not.
func (r *reconciler) remembered(hash string, ns *metav1.PartialObjectMetadata) *namespaceCache {
	annotations := maps.Clone(ns.Annotations)
	delete(annotations, injection.AnnotationStatus)
	known := r.namespaces[ns.Name]
	if known == nil {
		known = &namespaceCache{}
		r.namespaces[ns.Name] = known
	}
	if known.hash != hash || !maps.Equal(known.annotations, annotations) {
		known.hash, known.annotations, known.states = hash, annotations, nil
	}
	return known
}

func (n *namespaceCache) state(engine Engine, pod *corev1.Pod) (State, error) {
	if known, ok := n.states[pod.UID]; ok && known.resourceVersion == pod.ResourceVersion {
		return known.state, nil
	}
	return engine.State(pod, n.annotations)
}

// writeStatus writes the status annotation of a namespace if it differs; "" removes it. An
// installation that does not grant the right has no such annotations.
func (r *reconciler) writeStatus(ctx context.Context, ns *metav1.PartialObjectMetadata, value string) error {
	if ns.Annotations[injection.AnnotationStatus] == value || r.forbidden {
		return nil
	}
	var wanted any // null removes
	if value != "" {
		wanted = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{injection.AnnotationStatus: wanted}}})
	if err != nil {
		return fmt.Errorf("encode the status of namespace %s: %w", ns.Name, err)
	}
	err = r.client.Patch(ctx, ns.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsForbidden(err) {
		log.FromContext(ctx).Info("namespaces get no status annotation: the right to patch them is not granted")
		r.forbidden = true
		return nil
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the status of namespace %s: %w", ns.Name, err)
	}
	return nil
}
