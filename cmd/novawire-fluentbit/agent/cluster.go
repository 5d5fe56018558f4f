package agent

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/fluentbit/podfiles"
)

// cluster knows the pods of one node and the namespaces that opted in, by watch.
type cluster struct {
	client               *rest.RESTClient
	pods                 *store[*corev1.Pod]
	namespaces           *store[*corev1.Namespace]
	excluded, nameLabels []string
	changed              chan struct{} // a pod or namespace changed
	errors               atomic.Int64

	mu    sync.Mutex
	asked map[string]time.Time // when an unknown pod was last asked for
}

func newCluster(config *rest.Config, node string, excluded, nameLabels []string) (*cluster, error) {
	c := &cluster{excluded: excluded, nameLabels: nameLabels, changed: make(chan struct{}, 1), asked: map[string]time.Time{}}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/api", &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.UserAgent = "novawire-fluentbit"
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return countErrors{next, &c.errors} })
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	c.client = client
	lists := func(resource string, selector fields.Selector) cache.ListerWatcher {
		return cache.NewListWatchFromClient(client, resource, metav1.NamespaceAll, selector)
	}
	c.pods = newStore(lists("pods", fields.OneTermEqualSelector("spec.nodeName", node)), &corev1.Pod{}, c.changed)
	c.namespaces = newStore(lists("namespaces", fields.Everything()), &corev1.Namespace{}, c.changed)
	return c, nil
}

// trim drops what decide does not read, so that a node's pods cost little memory.
func trim(object any) any {
	switch o := object.(type) {
	case *corev1.Pod:
		return trimPod(o)
	case *corev1.Namespace:
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: o.Name, ResourceVersion: o.ResourceVersion, UID: o.UID, Labels: o.Labels, Annotations: injectAnnotations(o.Annotations),
		}}
	}
	return object
}

func trimPod(p *corev1.Pod) *corev1.Pod {
	small := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.Name, GenerateName: p.GenerateName, Namespace: p.Namespace, ResourceVersion: p.ResourceVersion, UID: p.UID,
		Labels: p.Labels, Annotations: injectAnnotations(p.Annotations), OwnerReferences: p.OwnerReferences,
	}}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		kept := corev1.Container{Name: c.Name}
		for _, v := range c.Env {
			if v.Name == serviceNameVariable || v.Name == resourceAttributesVariable {
				kept.Env = append(kept.Env, corev1.EnvVar{Name: v.Name, Value: v.Value})
			}
		}
		small.Spec.Containers = append(small.Spec.Containers, kept)
	}
	return small
}

func injectAnnotations(all map[string]string) map[string]string {
	value, ok := all[injection.AnnotationServiceName]
	if !ok {
		return nil
	}
	return map[string]string{injection.AnnotationServiceName: value}
}

// countErrors counts the requests to the API server that failed.
type countErrors struct {
	next   http.RoundTripper
	errors *atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (c countErrors) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(r)
	if err != nil || response.StatusCode >= 400 && response.StatusCode != http.StatusNotFound {
		c.errors.Add(1)
	}
	return response, err
}

// watch keeps the stores current until ctx ends.
func (c *cluster) watch(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { c.pods.follow(ctx) })
	running.Go(func() { c.namespaces.follow(ctx) })
	running.Wait()
}

// synced reports whether the pods and namespaces have been listed once.
func (c *cluster) synced() bool { return c.pods.listed.Load() && c.namespaces.listed.Load() }

// decide says whether a pod is wired, and describes it. It returns Unknown if the
// API server has not said so yet.
func (c *cluster) decide(ctx context.Context, namespace, name string) (podfiles.Pod, podfiles.Decision) {
	if slices.Contains(c.excluded, namespace) {
		return podfiles.Pod{}, podfiles.NotWired
	}
	notWired := podfiles.Pod{Namespace: namespace, Name: name}
	if !c.synced() {
		return podfiles.Pod{}, podfiles.Unknown
	}
	ns, found := c.namespaces.find(namespace)
	if !found {
		return podfiles.Pod{}, podfiles.Unknown
	}
	if ns.Labels[injection.LabelWiring] != injection.WiringEnabled {
		return notWired, podfiles.NotWired
	}
	pod, decision := c.pod(ctx, namespace, name)
	switch {
	case decision != podfiles.Wired:
		return notWired, decision
	case pod.Labels[injection.LabelLogging] != injection.LoggingStructured:
		return notWired, podfiles.NotWired
	}
	return describe(pod, ns.Annotations, c.nameLabels), podfiles.Wired
}

// askAgain is how long to wait before an unknown pod is asked for again.
const askAgain = 5 * time.Second

// pod finds a pod in the store or, for a file that is newer than the watch, by
// asking the API server. The decision is Wired for a pod that exists.
func (c *cluster) pod(ctx context.Context, namespace, name string) (*corev1.Pod, podfiles.Decision) {
	key := namespace + "/" + name
	if p, found := c.pods.find(key); found {
		c.forget(key)
		return p, podfiles.Wired
	}
	if !c.mayAsk(key) {
		return nil, podfiles.Unknown
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var p corev1.Pod
	err := c.client.Get().Namespace(namespace).Resource("pods").Name(name).Do(ctx).Into(&p)
	switch {
	case apierrors.IsNotFound(err):
		return nil, podfiles.NotWired
	case err != nil:
		return nil, podfiles.Unknown
	}
	return trimPod(&p), podfiles.Wired
}

func (c *cluster) mayAsk(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked[key]) < askAgain {
		return false
	}
	if len(c.asked) > 1000 {
		clear(c.asked)
	}
	c.asked[key] = time.Now()
	return true
}

func (c *cluster) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asked, key)
}
