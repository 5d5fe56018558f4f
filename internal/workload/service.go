package workload

import (
	"strings"

	"github.com/nova/novawire/api/attribute"
	"github.com/nova/novawire/api/injection"
)

// Rule says which rule named a service.
type Rule string

// The rules, the strongest first.
const (
	ByAnnotation Rule = "annotation"    // inject.nova.dev/service-name of the pod, the namespace or the configuration
	ByLabel      Rule = "label"         // the first of serviceNameLabels that the pod carries
	ByController Rule = "controller"    // a label of a controller that gives each run another name
	ByOwner      Rule = "workload name" // the name of the owner
)

// Service is the name of a pod's service and where it comes from.
type Service struct {
	Name string
	Rule Rule
	From string // the layer of the annotation, the label's key or the owner's kind
}

// Annotation is the value of inject.nova.dev/service-name that applies to a
// pod, and the layer that set it. The zero value means that no layer did.
type Annotation struct{ Value, From string }

// ServiceOf names the service of a pod: the annotation decides, then the first
// of nameLabels that the pod carries with a value, then a label of controllers whose pods
// have another owner with each run, then the owner.
func ServiceOf(a Annotation, nameLabels []string, labels map[string]string, o Owner) Service {
	if a.Value != "" {
		return Service{a.Value, ByAnnotation, a.From}
	}
	for _, key := range nameLabels {
		if name := labels[key]; name != "" {
			return Service{name, ByLabel, key}
		}
	}
	if name, label := nameByController(labels); name != "" {
		return Service{name, ByController, label}
	}
	return Service{o.Name, ByOwner, o.Kind}
}

// AnnotationOf returns the service name that annotations set for a pod: its own, else
// its namespace's. A value that injection refuses is ignored.
func AnnotationOf(namespace, pod map[string]string) Annotation {
	layers := make([]injection.Layer, 0, 2)
	for _, l := range []injection.Layer{{Source: "namespace", Annotations: namespace}, {Source: injection.SourcePod, Annotations: pod}} {
		naming := map[string]string{}
		for _, key := range []string{injection.AnnotationServiceName, injection.AnnotationResourceAttributes, injection.OpenTelemetryPrefix + "service.name"} {
			if value, ok := l.Annotations[key]; ok {
				naming[key] = value
			}
		}
		if len(naming) > 0 {
			layers = append(layers, injection.Layer{Source: l.Source, Annotations: naming})
		}
	}
	r, _ := injection.ParseRequest(injection.Request{}, layers...)
	return Annotation{r.ServiceName, r.ServiceNameFrom}
}

// ServiceOfEnvironment returns the service name that a container's own variables
// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES set, or "" if they set none. A
// name that refers to other variables is only known to the kubelet.
func ServiceOfEnvironment(serviceName, resourceAttributes string) string {
	if serviceName == "" {
		pairs, _ := attribute.Parse(resourceAttributes)
		for _, a := range pairs {
			if a.Key == "service.name" {
				serviceName = a.Value
			}
		}
	}
	literal := strings.ReplaceAll(serviceName, "$$", "")
	if strings.Contains(literal, "$(") {
		return ""
	}
	return strings.ReplaceAll(serviceName, "$$", "$")
}
