package webhook

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
)

// liveTimeout bounds the GET for a namespace that the cache does not have yet: a
// tenth of the webhook's own timeout.
const liveTimeout = 300 * time.Millisecond

// NamespaceMetadata is the object to cache and to read: a namespace without its
// spec and status.
func NamespaceMetadata() *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	return o
}

// CachedNamespaces reads namespaces from a cache and, where it lags, live.
type CachedNamespaces struct {
	Cache   client.Reader
	Live    client.Reader
	Metrics *Metrics
}

// Namespace has the annotations of a namespace. The API server asks only about
// namespaces that are opted in, so a cached one that is not is as stale as one
// that is missing. If nothing can be learnt the defaults have to do: a pod is
// never left out for want of its namespace.
func (n *CachedNamespaces) Namespace(ctx context.Context, name string) inject.Namespace {
	ns := NamespaceMetadata()
	key := types.NamespacedName{Name: name}
	err := n.Cache.Get(ctx, key, ns)
	if err != nil || ns.Labels[injection.LabelWiring] != injection.WiringEnabled {
		n.Metrics.misses.Inc()
		live, cancel := context.WithTimeout(ctx, liveTimeout)
		defer cancel()
		fresh := NamespaceMetadata()
		if n.Live.Get(live, key, fresh) == nil {
			ns = fresh
		}
	}
	return inject.Namespace{Name: name, Annotations: ns.Annotations}
}
