package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/controller/backup/resources"
)

// Field managers of the objects and of the status annotation.
const (
	objectOwner = client.FieldOwner("novawire")
	statusOwner = client.FieldOwner("novawire-status")
)

// errNameTaken reports an object of the wanted name that Novawire did not create.
var errNameTaken = errors.New("an object of this name exists and was not created by Novawire for this object")

// applier applies objects server-side, and only those that differ from the wanted
// state: a converged cluster is not written to.
type applier struct {
	client client.Client
	live   client.Reader // reads past the cache, which holds only our objects
}

// apply creates or updates an object and reports whether it created it. Fields that
// others own stay.
func (a applier) apply(ctx context.Context, wanted client.Object) (created bool, err error) {
	content, err := applyConfiguration(wanted)
	if err != nil {
		return false, err
	}
	have := emptyLike(wanted)
	err = a.client.Get(ctx, client.ObjectKeyFromObject(wanted), have)
	if apierrors.IsNotFound(err) {
		created, err = true, a.checkNameFree(ctx, wanted)
	}
	if err != nil {
		return false, err
	}
	if !created {
		is, err := runtime.DefaultUnstructuredConverter.ToUnstructured(have)
		if err != nil {
			return false, fmt.Errorf("compare %s: %w", wanted.GetName(), err)
		}
		if contains(is, content.Object) {
			return false, nil
		}
	}
	if err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(content), objectOwner, client.ForceOwnership); err != nil {
		return false, fmt.Errorf("apply %s %s: %w", content.GetKind(), content.GetName(), err)
	}
	return created, nil
}

// checkNameFree returns [errNameTaken] if an object of the name exists that is not ours.
func (a applier) checkNameFree(ctx context.Context, wanted client.Object) error {
	there := &metav1.PartialObjectMetadata{TypeMeta: typeMetaOf(wanted)}
	err := a.live.Get(ctx, client.ObjectKeyFromObject(wanted), there)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case there.Labels[resources.LabelManagedBy] != resources.ManagedBy || !sameSource(there, wanted):
		return fmt.Errorf("%s %s: %w", there.Kind, there.Name, errNameTaken)
	}
	return nil // ours, not yet in the cache
}

// sameSource reports whether two objects were made for one source.
func sameSource(a, b client.Object) bool {
	of, ok := resources.MadeFor(b)
	return ok && resources.IsMadeFor(a, of)
}

// annotate sets one annotation of an existing object and does nothing if the object
// was deleted or replaced.
func (a applier) annotate(ctx context.Context, o client.Object, key, value string) error {
	if o.GetAnnotations()[key] == value {
		return nil
	}
	u := &unstructured.Unstructured{}
	kind := typeMetaOf(o)
	u.SetAPIVersion(kind.APIVersion)
	u.SetKind(kind.Kind)
	u.SetNamespace(o.GetNamespace())
	u.SetName(o.GetName())
	u.SetUID(o.GetUID()) // a new object of the same name is a conflict
	u.SetAnnotations(map[string]string{key: value})
	if err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), statusOwner, client.ForceOwnership); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("annotate %s %s: %w", kind.Kind, o.GetName(), err)
	}
	return nil
}

// applyConfiguration returns the object to apply with a hash of its content. The hash
// reveals fields that are no longer wanted, which [contains] does not see.
func applyConfiguration(o client.Object) (*unstructured.Unstructured, error) {
	u, err := resources.Unstructured(o)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.GetName(), err)
	}
	sum := sha256.Sum256(text)
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[resources.AnnotationAppliedHash] = hex.EncodeToString(sum[:8])
	u.SetAnnotations(annotations)
	return u, nil
}

// contains reports whether an object has every wanted field. Defaults that the API
// server adds do not count as differences; lists must have the same length.
func contains(have, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok && len(w) > 0 {
			return false
		}
		for key, value := range w {
			if !contains(h[key], value) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return len(w) == 0 && len(h) == 0
		}
		for i := range w {
			if !contains(h[i], w[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(have, want)
}

// typeMetaOf returns the kind of an object. Objects from a cache have no TypeMeta.
func typeMetaOf(o client.Object) metav1.TypeMeta {
	switch o.(type) {
	case *batchv1.CronJob:
		return metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"}
	case *corev1.ServiceAccount:
		return metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}
	case *networkingv1.NetworkPolicy:
		return metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}
	}
	return metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}
}

func emptyLike(o client.Object) client.Object {
	empty, _ := reflect.New(reflect.TypeOf(o).Elem()).Interface().(client.Object)
	return empty
}
