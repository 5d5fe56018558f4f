package webhook

import (
	"context"
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/workload"
	"github.com/nova/novawire/webhook/inject"
)

// LiveServices lists the workloads of one namespace when it is asked: a workload
// is applied seldom, and a cache of every workload would cost more memory than
// the rest of the manager.
type LiveServices struct {
	Live client.Reader
}

// mostWorkloads of a kind are looked at; a namespace with more gets fewer warnings.
const mostWorkloads = 250

// Named lists the Deployments, StatefulSets, DaemonSets and CronJobs whose pods
// report as the service.
func (s LiveServices) Named(ctx context.Context, engine *inject.Engine, ns inject.Namespace, service string) ([]workload.Owner, error) {
	var found []workload.Owner
	consider := func(kind, name string, template corev1.PodTemplateSpec) {
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
		if err := s.Live.List(ctx, list, client.InNamespace(ns.Name), client.Limit(mostWorkloads)); err != nil {
			return nil, err
		}
	}
	for _, o := range deployments.Items {
		consider("Deployment", o.Name, o.Spec.Template)
	}
	for _, o := range statefulSets.Items {
		consider("StatefulSet", o.Name, o.Spec.Template)
	}
	for _, o := range daemonSets.Items {
		consider("DaemonSet", o.Name, o.Spec.Template)
	}
	for _, o := range cronJobs.Items {
		consider("CronJob", o.Name, o.Spec.JobTemplate.Spec.Template)
	}
	return found, nil
}
