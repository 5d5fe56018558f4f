package webhook

import (
	"context"
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// LiveServices lists the workloads of a namespace for each call. Workloads are
// applied rarely, and a cache of all of them would need more memory than the rest
// of the manager.
type LiveServices struct {
	Live client.Reader
}

// maxWorkloads bounds each list. In a namespace with more workloads of a kind some
// warnings are missing.
const maxWorkloads = 250

// Named returns the Deployments, StatefulSets, DaemonSets and CronJobs whose pods
// have the service name.
func (s LiveServices) Named(ctx context.Context, engine *inject.Engine, ns inject.Namespace, service string) ([]workload.Owner, error) {
	var found []workload.Owner
	addIfNamed := func(kind, name string, template corev1.PodTemplateSpec) {
		owner := workload.Owner{Kind: kind, Name: name}
		raw, err := json.Marshal(corev1.PodTemplateSpec{ObjectMeta: template.ObjectMeta})
		if err == nil && engine.ServiceName(raw, ns, owner) == service {
			found = append(found, owner)
		}
	}
	var deployments appsv1.DeploymentList
	var statefulSets appsv1.StatefulSetList
	var daemonSets appsv1.DaemonSetList
	var cronJobs batchv1.CronJobList
	for _, list := range []client.ObjectList{&deployments, &statefulSets, &daemonSets, &cronJobs} {
		if err := s.Live.List(ctx, list, client.InNamespace(ns.Name), client.Limit(maxWorkloads)); err != nil {
			return nil, err
		}
	}
	for _, o := range deployments.Items {
		addIfNamed("Deployment", o.Name, o.Spec.Template)
	}
	for _, o := range statefulSets.Items {
		addIfNamed("StatefulSet", o.Name, o.Spec.Template)
	}
	for _, o := range daemonSets.Items {
		addIfNamed("DaemonSet", o.Name, o.Spec.Template)
	}
	for _, o := range cronJobs.Items {
		addIfNamed("CronJob", o.Name, o.Spec.JobTemplate.Spec.Template)
	}
	return found, nil
}

// LiveReferences asks the API server, for metadata only: the program never reads
// the content of a Secret.
type LiveReferences struct {
	Live client.Reader
	// MayWatchSecrets reports whether this program may list and watch Secrets.
	MayWatchSecrets func(context.Context) (bool, error)
}

// SecretsWatched implements [lint.References].
func (l LiveReferences) SecretsWatched(ctx context.Context) (bool, error) {
	return l.MayWatchSecrets(ctx)
}

// HasSecret reports whether a Secret exists.
func (l LiveReferences) HasSecret(ctx context.Context, namespace, name string) (bool, error) {
	return l.exists(ctx, "Secret", namespace, name)
}

// HasServiceAccount reports whether a ServiceAccount exists.
func (l LiveReferences) HasServiceAccount(ctx context.Context, namespace, name string) (bool, error) {
	return l.exists(ctx, "ServiceAccount", namespace, name)
}

func (l LiveReferences) exists(ctx context.Context, kind, namespace, name string) (bool, error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind})
	err := l.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// NamespaceLabels returns the labels of a namespace.
func (l LiveReferences) NamespaceLabels(ctx context.Context, namespace string) (map[string]string, error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	err := l.Live.Get(ctx, client.ObjectKey{Name: namespace}, o)
	return o.Labels, err
}

// StatefulSets lists the StatefulSets of all namespaces.
func (l LiveReferences) StatefulSets(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSetList"})
	err := l.Live.List(ctx, list, client.Limit(maxWorkloads))
	return list.Items, err
}
