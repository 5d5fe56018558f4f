package agent

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/nova/novawire/fluentbit/podfiles"
	"github.com/nova/novawire/internal/workload"
)

// describe names the services of a pod as injection does. A container's own
// OTEL_SERVICE_NAME decides for it: that is the name its traces carry.
func describe(p *corev1.Pod, namespaceAnnotations map[string]string, nameLabels []string) podfiles.Pod {
	owners := make([]workload.OwnerReference, 0, len(p.OwnerReferences))
	for _, o := range p.OwnerReferences {
		owners = append(owners, workload.OwnerReference{Kind: o.Kind, Name: o.Name, Controller: o.Controller != nil && *o.Controller})
	}
	owner := workload.OwnerOf(workload.Pod{Name: p.Name, GenerateName: p.GenerateName, Labels: p.Labels, Owners: owners})
	annotation := workload.AnnotationOf(namespaceAnnotations, p.Annotations)
	d := podfiles.Pod{Namespace: p.Namespace, Name: p.Name, Service: workload.ServiceOf(annotation, nameLabels, p.Labels, owner).Name}
	for _, c := range p.Spec.Containers {
		if name := serviceOfContainer(c.Env); name != "" && name != d.Service {
			if d.Services == nil {
				d.Services = map[string]string{}
			}
			d.Services[c.Name] = name
		}
	}
	return d
}

func serviceOfContainer(env []corev1.EnvVar) string {
	var name, attributes string
	for _, v := range env {
		switch v.Name {
		case serviceNameVariable:
			name = v.Value
		case resourceAttributesVariable:
			attributes = v.Value
		}
	}
	return workload.ServiceOfEnvironment(name, attributes)
}

// The variables of the OpenTelemetry specification that name a service.
const (
	serviceNameVariable        = "OTEL_SERVICE_NAME"
	resourceAttributesVariable = "OTEL_RESOURCE_ATTRIBUTES"
)
