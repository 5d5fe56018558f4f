package probe

import (
	"context"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nova/novawire/internal/validate"
)

// RestoreAfter is how long a webhook configuration has to be missing before it is put back.
// Whoever removes the installation deletes the manager within that time.
const RestoreAfter = 10 * time.Second

// keep remembers a webhook configuration as it is, or was last, in the cluster: with its caBundle,
// and with the labels and annotations by which an installer knows it.
func (p *prober) keep(kind string, seen any) {
	if last, ok := seen.(toolscache.DeletedFinalStateUnknown); ok {
		seen = last.Obj
	}
	if o, ok := seen.(client.Object); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.kept[kind] = o
	}
}

// lastSeen returns the last state of a webhook configuration, or that of this version with what
// the installer set on the Deployment. It returns nil if neither is known.
func (p *prober) lastSeen(kind string, deployment *metav1.PartialObjectMetadata) client.Object {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.kept[kind]; o != nil {
		return anew(o)
	}
	if p.Shipped[kind] == nil {
		return nil
	}
	return belongingTo(p.Shipped[kind], deployment)
}

// restore puts back a webhook configuration that is missing, if that is wanted and the
// installation is not being removed.
func (p *prober) restore(ctx context.Context, kind string) {
	if p.RestoreAfter == 0 {
		return
	}
	since, known := p.missing[kind]
	if !known {
		p.missing[kind] = time.Now()
		return
	}
	if time.Since(since) < p.RestoreAfter {
		return
	}
	logger := log.FromContext(ctx).WithName("probe")
	deployment := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}}
	if err := p.live.Get(ctx, p.Manager, deployment); err != nil || deployment.DeletionTimestamp != nil {
		logger.Info("the webhook configuration is not put back: the manager is being removed, or its Deployment cannot be read", "kind", kind, "error", err)
		return
	}
	o := p.lastSeen(kind, deployment)
	if o == nil {
		return // what is missing was told
	}
	if err := p.client.Create(ctx, o, client.FieldOwner("novawire-restore")); err != nil && !apierrors.IsAlreadyExists(err) {
		logger.Error(err, "the webhook configuration is not put back", "kind", kind)
		return
	}
	logger.Info("a deleted webhook configuration was put back", "kind", kind, "missing", time.Since(since).Round(time.Second).String())
	manager := &corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.Manager.Namespace, Name: p.Manager.Name}
	p.events.Eventf(manager, nil, corev1.EventTypeWarning, "WebhookConfigurationRestored", kind, "%s",
		validate.EventNote("somebody deleted the "+kind+" "+p.Configuration+": it was put back. Pods that were created meanwhile: novawire status"))
	p.Metrics.restored.WithLabelValues(kind).Inc()
	delete(p.missing, kind)
}

// belongingTo returns a shipped object with the labels and annotations by which the installer
// of the Deployment knows its objects.
func belongingTo(shipped client.Object, deployment *metav1.PartialObjectMetadata) client.Object {
	o := anew(shipped)
	m := metaOf(o)
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	for key, value := range deployment.Labels {
		if strings.HasPrefix(key, "app.kubernetes.io/") || strings.HasPrefix(key, "helm.sh/") {
			m.Labels[key] = value
		}
	}
	m.Annotations = map[string]string{}
	for key, value := range deployment.Annotations {
		if strings.HasPrefix(key, "meta.helm.sh/") {
			m.Annotations[key] = value
		}
	}
	return o
}

// anew returns a copy of a webhook configuration that can be created: without what the API
// server sets.
func anew(o client.Object) client.Object {
	c, _ := o.DeepCopyObject().(client.Object) // always: it is of the same type
	m := metaOf(c)
	*m = metav1.ObjectMeta{Name: m.Name, Labels: m.Labels, Annotations: m.Annotations, OwnerReferences: m.OwnerReferences, Finalizers: m.Finalizers}
	return c
}

// metaOf returns the metadata of a webhook configuration. The setters of client.Object would link
// those of every type of the API.
func metaOf(o client.Object) *metav1.ObjectMeta {
	switch c := o.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		return &c.ObjectMeta
	case *admissionv1.ValidatingWebhookConfiguration:
		return &c.ObjectMeta
	}
	return &metav1.ObjectMeta{} // the probe watches no other kind
}
