package lint

import (
	"context"
	"encoding/json"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// Services finds the workloads of a namespace by service name.
type Services interface {
	Named(ctx context.Context, engine *inject.Engine, ns inject.Namespace, service string) ([]workload.Owner, error)
}

// servicesTimeout bounds the search for other workloads: a warning must not delay an
// apply for longer.
const servicesTimeout = 500 * time.Millisecond

// ServiceNameClashes returns a note for each other workload of the namespace that
// has the same service name. If the search fails it returns no notes.
func ServiceNameClashes(ctx context.Context, services Services, engine *inject.Engine, ns inject.Namespace, owner workload.Owner, template []byte) (notes []inject.Note) {
	service := engine.ServiceName(template, ns, owner)
	ctx, cancel := context.WithTimeout(ctx, servicesTimeout)
	defer cancel()
	others, err := services.Named(ctx, engine, ns, service)
	if err != nil {
		return nil
	}
	for _, other := range others {
		if other != owner {
			notes = append(notes, inject.Note{Reason: inject.NameClash, Subject: other.Kind + " " + other.Name, Detail: service})
		}
	}
	return notes
}

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
