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

// liveTimeout bounds the GET of a namespace that is not in the cache yet. It is a
// tenth of the webhook's timeout.
const liveTimeout = 300 * time.Millisecond

// NamespaceMetadata returns the object to cache and to read: the metadata of a
// Namespace.
func NamespaceMetadata() *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	return o
}

// CachedNamespaces reads namespaces from a cache, or live if the cache is behind.
type CachedNamespaces struct {
	Cache   client.Reader
	Live    client.Reader
	Metrics *Metrics
	// Limits are those of LimitRanges and ResourceQuotas; nil for none.
	Limits *CachedLimits
}

// Namespace returns the annotations and the limits of a namespace. The API server only sends reviews
// from namespaces that are opted in, so a cached namespace without the label is
// outdated, like a missing one. If the namespace cannot be read it has no
// annotations and the defaults apply: that is never a reason not to wire a pod.
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
	return inject.Namespace{Name: name, Annotations: ns.Annotations, Limits: n.Limits.Namespace(name)}
}
