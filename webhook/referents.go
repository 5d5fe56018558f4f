package webhook

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Referents knows the objects that a request for backup refers to. An error,
// say of a right that is missing, is an answer too: that nothing is known.
type Referents interface {
	HasSecret(ctx context.Context, namespace, name string) (bool, error)
	HasServiceAccount(ctx context.Context, namespace, name string) (bool, error)
	// StatefulSets has the metadata of those that there are, or of the first few hundred.
	StatefulSets(ctx context.Context) ([]metav1.PartialObjectMetadata, error)
}

// LiveReferents asks the API server, for metadata alone: nothing that a Secret
// holds comes into the program.
type LiveReferents struct {
	Live client.Reader
}

// HasSecret tells whether there is a Secret.
func (l LiveReferents) HasSecret(ctx context.Context, namespace, name string) (bool, error) {
	return l.has(ctx, "Secret", namespace, name)
}

// HasServiceAccount tells whether there is a ServiceAccount.
func (l LiveReferents) HasServiceAccount(ctx context.Context, namespace, name string) (bool, error) {
	return l.has(ctx, "ServiceAccount", namespace, name)
}

func (l LiveReferents) has(ctx context.Context, kind, namespace, name string) (bool, error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind})
	err := l.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// StatefulSets lists them in all namespaces.
func (l LiveReferents) StatefulSets(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSetList"})
	err := l.Live.List(ctx, list, client.Limit(mostWorkloads))
	return list.Items, err
}
