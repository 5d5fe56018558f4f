// Package repair is the controller that replaces the pods that controller/drift finds, where
// somebody asked for it: by the Eviction API or by a roll-out, one workload's pods at a time,
// and only after a dry run has shown that the new pod will be wired. A workload that does not
// get better is put back and left alone.
package repair

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
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
	repairapi "github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/internal/workload"
)

// Options configures the controller.
type Options struct {
	// Config returns the section of the current configuration.
	Config func() repairapi.Config
	// Engine returns the engine of the current configuration.
	Engine func() drift.Engine
	// AdmissionWorks returns the last result of the synthetic probe.
	AdmissionWorks func() bool
	Metrics        *Metrics
}

// key is a workload.
type key struct{ kind, namespace, name string }

func (k key) String() string { return strings.ToLower(k.kind) + "/" + k.name }

func (k key) objectKey() client.ObjectKey {
	return client.ObjectKey{Namespace: k.namespace, Name: k.name}
}

// request returns the key as the queue has it. Requests of their own type would link the queue
// and the controller a second time: half a megabyte.
func (k key) request() reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: k.namespace, Name: k.kind + "/" + k.name}}
}

func keyOf(request reconcile.Request) key {
	kind, name, _ := strings.Cut(request.Name, "/")
	return key{kind, request.Namespace, name}
}

// kinds are the kinds of workloads that are repaired: their pod template can opt out, which
// undoes a repair.
var kinds = []string{"Deployment", "StatefulSet", "DaemonSet"}

// Repairer decides about one workload at a time.
type Repairer struct {
	Options
	client client.Client
	live   client.Reader
	cache  client.Reader // metadata of workloads and Namespaces
	events events.EventRecorder
	now    func() time.Time

	mu      sync.Mutex
	drifted map[string]map[key]bool // by namespace
	queue   workqueue.TypedRateLimitingInterface[reconcile.Request]

	// One worker uses the rest.
	next    time.Time         // when the next pod or workload may be replaced
	proven  map[string]bool   // hashes of configurations with which a new pod became ready
	running map[key]*progress // repairs that are not finished
	waiting map[key]string    // why a workload waits
	told    map[key]string    // the last message about it
}

// Add registers the controller. It must run on one replica at a time.
func Add(mgr manager.Manager, o Options) (*Repairer, error) {
	own, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(), DefaultTransform: trim,
	})
	if err != nil {
		return nil, fmt.Errorf("create the cache of workloads: %w", err)
	}
	if err := mgr.Add(own); err != nil {
		return nil, fmt.Errorf("add the cache of workloads: %w", err)
	}
	r := &Repairer{
		Options: o, client: mgr.GetClient(), live: mgr.GetAPIReader(), cache: own, events: mgr.GetEventRecorder("novawire-repair"), now: time.Now,
		drifted: map[string]map[key]bool{}, proven: map[string]bool{}, running: map[key]*progress{}, waiting: map[key]string{}, told: map[key]string{},
	}
	skipNameValidation := true // each new term as leader registers the controller again
	b := builder.ControllerManagedBy(mgr).Named("repair").
		WithOptions(controller.Options{SkipNameValidation: &skipNameValidation}).
		WatchesRawSource(source.Func(r.receive)).
		WatchesRawSource(source.Kind(own, metadata("v1", "Namespace"), handler.TypedEnqueueRequestsFromMapFunc(r.driftedIn), annotated{}))
	for _, kind := range kinds {
		b = b.WatchesRawSource(source.Kind(own, metadata("apps/v1", kind), handler.TypedEnqueueRequestsFromMapFunc(workloadOf(kind)), annotated{}))
	}
	return r, b.Complete(r)
}

// Found reports the workloads of a namespace that have missing or stale pods. It replaces what
// was reported before.
func (r *Repairer) Found(namespace string, owners []workload.Owner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[key]bool{}
	for _, o := range owners {
		found[key{o.Kind, namespace, o.Name}] = true
	}
	before := r.drifted[namespace]
	r.drifted[namespace] = found
	if len(found) == 0 {
		delete(r.drifted, namespace)
	}
	if r.queue == nil {
		return
	}
	for k := range before { // what was repaired by others waits no more
		r.queue.Add(k.request())
	}
	for k := range found {
		r.queue.Add(k.request())
	}
}

// receive takes the queue, and adds what was found before.
func (r *Repairer) receive(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = queue
	for _, found := range r.drifted {
		for k := range found {
			queue.Add(k.request())
		}
	}
	return nil
}

func (r *Repairer) hasDrifted(k key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drifted[k.namespace][k]
}

// driftedIn maps a Namespace to its workloads that have drifted. Drift knows a changed annotation
// as well, but maybe sooner than this cache.
func (r *Repairer) driftedIn(_ context.Context, ns *metav1.PartialObjectMetadata) (requests []reconcile.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.drifted[ns.Name] {
		requests = append(requests, k.request())
	}
	return requests
}

func workloadOf(kind string) handler.TypedMapFunc[*metav1.PartialObjectMetadata, reconcile.Request] {
	return func(_ context.Context, m *metav1.PartialObjectMetadata) []reconcile.Request {
		return []reconcile.Request{key{kind, m.Namespace, m.Name}.request()}
	}
}

// annotated passes objects that are new to the cache, which may be later than what drift
// found, and changes of their annotations.
type annotated struct {
	predicate.TypedFuncs[*metav1.PartialObjectMetadata]
}

// Update implements [predicate.TypedPredicate].
func (annotated) Update(e event.TypedUpdateEvent[*metav1.PartialObjectMetadata]) bool {
	return !maps.Equal(e.ObjectOld.Annotations, e.ObjectNew.Annotations) || !maps.Equal(e.ObjectOld.Labels, e.ObjectNew.Labels)
}

func metadata(version, kind string) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(schema.FromAPIVersionAndKind(version, kind))
	return m
}

// trim keeps what the controller reads, so that the cache of a large cluster stays small.
func trim(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	kept := &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, DeletionTimestamp: m.DeletionTimestamp,
	}}
	if wiring, ok := m.Labels[injection.LabelWiring]; ok {
		kept.Labels = map[string]string{injection.LabelWiring: wiring}
	}
	// The annotations of a Namespace decide how its pods are wired.
	for name, value := range m.Annotations {
		if m.Kind == "Namespace" && name != injection.AnnotationStatus || name == injection.AnnotationRepair || name == injection.AnnotationRepairStatus {
			if kept.Annotations == nil {
				kept.Annotations = map[string]string{}
			}
			kept.Annotations[name] = value
		}
	}
	return kept, nil
}
