package rotator

import (
	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	kindMutating   = "MutatingWebhookConfiguration"
	kindValidating = "ValidatingWebhookConfiguration"
)

var (
	scheme = runtime.NewScheme()
	// mapper knows the three kinds, so that no discovery is needed at the start.
	mapper  = meta.NewDefaultRESTMapper(nil)
	watched = []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Secret"),
		admissionv1.SchemeGroupVersion.WithKind(kindMutating),
		admissionv1.SchemeGroupVersion.WithKind(kindValidating),
	}
)

func init() {
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(admissionv1.AddToScheme(scheme))
	mapper.Add(watched[0], meta.RESTScopeNamespace)
	mapper.Add(watched[1], meta.RESTScopeRoot)
	mapper.Add(watched[2], meta.RESTScopeRoot)
}

// newWatch creates the cache that watches for changes. It stores metadata only; each
// reconciliation reads the objects from the API server.
func (r *Rotator) newWatch(config *rest.Config) (cache.Cache, error) {
	return cache.New(config, cache.Options{
		Scheme: scheme,
		Mapper: mapper,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {
				Namespaces: map[string]cache.Config{r.Namespace: {}},
				Field:      nameSelector(r.Secret),
			},
			&admissionv1.MutatingWebhookConfiguration{}:   {Field: r.Webhooks.listOptions().FieldSelector, Label: r.Webhooks.Labels},
			&admissionv1.ValidatingWebhookConfiguration{}: {Field: r.Webhooks.listOptions().FieldSelector, Label: r.Webhooks.Labels},
		},
	})
}

func (s Selection) listOptions() *client.ListOptions {
	options := &client.ListOptions{LabelSelector: s.Labels}
	if s.Name != "" {
		options.FieldSelector = nameSelector(s.Name)
	}
	return options
}

func nameSelector(name string) fields.Selector {
	return fields.OneTermEqualSelector("metadata.name", name)
}

// startWatch starts the informers. Every change of a watched object requests a
// reconciliation.
func (r *Rotator) startWatch(ctx context.Context) (stopped <-chan error, err error) {
	for _, kind := range watched {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(kind)
		informer, err := r.watch.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, err
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { r.requestReconcile() },
			UpdateFunc: func(any, any) { r.requestReconcile() },
			DeleteFunc: func(any) { r.requestReconcile() },
		})
		if err != nil {
			return nil, err
		}
	}
	done := make(chan error, 1)
	go func() { done <- r.watch.Start(ctx) }()
	return done, nil
}

// requestReconcile requests a reconciliation, unless one is requested already.
func (r *Rotator) requestReconcile() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
