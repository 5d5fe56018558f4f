package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/nova/novawire/controller/backup/resources"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Field managers: the objects themselves, and what is known about them.
const (
	objectOwner = client.FieldOwner("novawire")
	statusOwner = client.FieldOwner("novawire-status")
)

// errNameTaken says that an object of the name is there and is somebody else's.
var errNameTaken = errors.New("an object of that name is there, and is not ours")

// applier writes objects that are not as they should be. In a cluster that is as
// it should be it writes nothing.
type applier struct {
	client client.Client
	live   client.Reader // past the cache, which holds only what is ours
}

// apply makes an object what is wanted, and tells whether it had to be created.
// What others set beside it stays.
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

// checkNameFree tells whether a name may be taken.
func (a applier) checkNameFree(ctx context.Context, wanted client.Object) error {
	there := &metav1.PartialObjectMetadata{TypeMeta: typeMetaOf(wanted)}
	err := a.live.Get(ctx, client.ObjectKeyFromObject(wanted), there)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case there.Labels[resources.LabelManagedBy] != resources.ManagedBy || there.Labels[resources.LabelStatefulSet] != wanted.GetLabels()[resources.LabelStatefulSet]:
		return fmt.Errorf("%s %s: %w", there.Kind, there.Name, errNameTaken)
	}
	return nil // ours, and not yet in the cache
}

// annotate sets an annotation of an object that is there, and none of it else.
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
	u.SetUID(o.GetUID()) // a successor of the same name is another
	u.SetAnnotations(map[string]string{key: value})
	if err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), statusOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("annotate %s %s: %w", kind.Kind, o.GetName(), err)
	}
	return nil
}

// applyConfiguration is the object as it is applied, with a mark of itself: what is no
// longer wanted is not seen by looking for what is.
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

// contains tells whether an object has all that is wanted. What the API server
// fills in is no difference; a list has to be the same item by item.
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

// typeMetaOf names the kinds that are applied: what is read from a cache says
// nothing of its own.
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
	return reflect.New(reflect.TypeOf(o).Elem()).Interface().(client.Object)
}
