package kubernetes

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Resource is a resource of the API whose objects are decoded to T.
type Resource[T any] schema.GroupVersionResource

// The resources that the product reads and writes.
var (
	Namespaces   = Resource[metav1.PartialObjectMetadata]{Version: "v1", Resource: "namespaces"}
	Pods         = Resource[corev1.Pod]{Version: "v1", Resource: "pods"}
	Services     = Resource[corev1.Service]{Version: "v1", Resource: "services"}
	Secrets      = Resource[corev1.Secret]{Version: "v1", Resource: "secrets"}
	LimitRanges  = Resource[corev1.LimitRange]{Version: "v1", Resource: "limitranges"}
	Quotas       = Resource[corev1.ResourceQuota]{Version: "v1", Resource: "resourcequotas"}
	ConfigMaps   = Resource[corev1.ConfigMap]{Version: "v1", Resource: "configmaps"}
	DaemonSets   = Resource[appsv1.DaemonSet]{Group: "apps", Version: "v1", Resource: "daemonsets"}
	Deployments  = Resource[appsv1.Deployment]{Group: "apps", Version: "v1", Resource: "deployments"}
	ReplicaSets  = Resource[appsv1.ReplicaSet]{Group: "apps", Version: "v1", Resource: "replicasets"}
	Revisions    = Resource[appsv1.ControllerRevision]{Group: "apps", Version: "v1", Resource: "controllerrevisions"}
	StatefulSets = Resource[appsv1.StatefulSet]{Group: "apps", Version: "v1", Resource: "statefulsets"}
	CronJobs     = Resource[batchv1.CronJob]{Group: "batch", Version: "v1", Resource: "cronjobs"}
	Jobs         = Resource[batchv1.Job]{Group: "batch", Version: "v1", Resource: "jobs"}

	// Definitions are custom resource definitions; only their metadata is read.
	Definitions              = Resource[metav1.PartialObjectMetadata]{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	SubjectAccessReviews     = Resource[authorizationv1.SubjectAccessReview]{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"}
	SelfSubjectAccessReviews = Resource[authorizationv1.SelfSubjectAccessReview]{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}

	EndpointSlices                  = Resource[discoveryv1.EndpointSlice]{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	MutatingWebhookConfigurations   = Resource[admissionv1.MutatingWebhookConfiguration]{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	MutatingAdmissionPolicies       = Resource[admissionv1.MutatingAdmissionPolicy]{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicies"}
	MutatingAdmissionPolicyBindings = Resource[admissionv1.MutatingAdmissionPolicyBinding]{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicybindings"}
	ValidatingWebhookConfigurations = Resource[admissionv1.ValidatingWebhookConfiguration]{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// pageSize bounds the memory of a list in a large cluster.
const pageSize = 500

// Get reads an object. The namespace is "" for a resource of the cluster.
func (r Resource[T]) Get(ctx context.Context, c *Client, namespace, name string) (*T, error) {
	found, err := c.dynamic.Resource(schema.GroupVersionResource(r)).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return decode[T](found)
}

// Raw reads an object as JSON, with fields that T does not know.
func (r Resource[T]) Raw(ctx context.Context, c *Client, namespace, name string) ([]byte, error) {
	found, err := c.dynamic.Resource(schema.GroupVersionResource(r)).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found.MarshalJSON()
}

// Metadata reads the metadata of an object. The API server sends nothing else, so no
// content of a Secret.
func (r Resource[T]) Metadata(ctx context.Context, c *Client, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	return c.metadata.Resource(schema.GroupVersionResource(r)).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
}

// List reads the objects of a namespace, or of all if it is "".
func (r Resource[T]) List(ctx context.Context, c *Client, namespace string, o metav1.ListOptions) (all []T, err error) {
	err = r.Pages(ctx, c, namespace, o, func(page []T) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

// Names lists the names of the objects of a namespace.
func (r Resource[T]) Names(ctx context.Context, c *Client, namespace string) (names []string, err error) {
	found, err := c.metadata.Resource(schema.GroupVersionResource(r)).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, o := range found.Items {
		names = append(names, o.Name)
	}
	return names, nil
}

// Pages calls visit for each page of a list. An error of visit ends it.
func (r Resource[T]) Pages(ctx context.Context, c *Client, namespace string, o metav1.ListOptions, visit func([]T) error) error {
	o.Limit = pageSize
	for {
		page, err := c.dynamic.Resource(schema.GroupVersionResource(r)).Namespace(namespace).List(ctx, o)
		if err != nil {
			return err
		}
		items := make([]T, len(page.Items))
		for i := range page.Items {
			item, err := decode[T](&page.Items[i])
			if err != nil {
				return err
			}
			items[i] = *item
		}
		if err := visit(items); err != nil {
			return err
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// Create creates an object. Its TypeMeta must be set.
func (r Resource[T]) Create(ctx context.Context, c *Client, namespace string, o *T) (*T, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", r.Resource, err)
	}
	created, err := c.dynamic.Resource(schema.GroupVersionResource(r)).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return decode[T](created)
}

// TryCreate returns what the API server would store for an object, which is JSON with
// apiVersion and kind. It stores nothing.
func (r Resource[T]) TryCreate(ctx context.Context, c *Client, namespace string, raw []byte) (*T, error) {
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("encode %s: %w", r.Resource, err)
	}
	tried, err := c.dynamic.Resource(schema.GroupVersionResource(r)).Namespace(namespace).
		Create(ctx, &object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return nil, err
	}
	return decode[T](tried)
}

// MergePatchMetadata changes an object with a JSON merge patch (RFC 7396) and returns
// its metadata. The API server sends nothing else, so no content of a Secret.
func (r Resource[T]) MergePatchMetadata(ctx context.Context, c *Client, namespace, name string, patch []byte) (*metav1.PartialObjectMetadata, error) {
	return c.metadata.Resource(schema.GroupVersionResource(r)).Namespace(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
}

func decode[T any](from *unstructured.Unstructured) (*T, error) {
	to := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, to); err != nil {
		return nil, fmt.Errorf("decode %s %s: %w", from.GetKind(), from.GetName(), err)
	}
	return to, nil
}
