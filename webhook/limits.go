package webhook

import (
	"encoding/json"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/webhook/inject"
)

// CachedLimits holds the limits of the namespaces that have any, as two watches report
// them. Reviews never wait for it: what is not known yet limits nothing.
type CachedLimits struct {
	mu      sync.RWMutex
	objects map[string]map[string][]byte // JSON by namespace, and by kind and name
	limits  map[string]*inject.Limits
}

// LimitObjects returns an object of each kind that must be watched for [CachedLimits].
func LimitObjects() []client.Object {
	return []client.Object{&corev1.LimitRange{}, &corev1.ResourceQuota{}}
}

// Namespace returns the limits of a namespace, nil if none are known.
func (c *CachedLimits) Namespace(name string) *inject.Limits {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.limits[name]
}

// Handler returns the handler for the events of the watches.
func (c *CachedLimits) Handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.set(o, false) },
		UpdateFunc: func(_, o any) { c.set(o, false) },
		DeleteFunc: func(o any) {
			if unknown, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			c.set(o, true)
		},
	}
}

func (c *CachedLimits) set(o any, deleted bool) {
	object, isObject := o.(client.Object)
	if !isObject {
		return
	}
	kind := "LimitRange"
	if _, isQuota := o.(*corev1.ResourceQuota); isQuota {
		kind = "ResourceQuota"
	}
	var raw []byte
	if !deleted { // a deleted object goes even if it cannot be encoded
		var err error
		if raw, err = json.Marshal(o); err != nil {
			slog.Error("limits of a namespace are ignored", "kind", kind, "namespace", object.GetNamespace(), "name", object.GetName(), "error", err)
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.objects[object.GetNamespace()]
	if all == nil {
		all = map[string][]byte{}
		if c.objects == nil {
			c.objects, c.limits = map[string]map[string][]byte{}, map[string]*inject.Limits{}
		}
		c.objects[object.GetNamespace()] = all
	}
	if deleted {
		delete(all, kind+"/"+object.GetName())
	} else {
		all[kind+"/"+object.GetName()] = raw
	}
	c.compute(object.GetNamespace())
}

// compute sets the limits of a namespace to those of its objects.
func (c *CachedLimits) compute(namespace string) {
	limits, err := inject.ParseLimits(c.objects[namespace])
	if err != nil {
		slog.Error("limits of a namespace are ignored", "namespace", namespace, "error", err)
	}
	if limits == nil {
		delete(c.limits, namespace)
	} else {
		c.limits[namespace] = limits
	}
	if len(c.objects[namespace]) == 0 {
		delete(c.objects, namespace)
	}
}
