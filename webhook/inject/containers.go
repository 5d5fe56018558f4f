package inject

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// wellKnownSidecars are containers that other injectors add: no part of an app,
// and environment of ours could change what they do.
var wellKnownSidecars = []string{
	"istio-proxy", "istio-init", "istio-validation",
	"linkerd-proxy", "linkerd-init", "linkerd-network-validator",
	"vault-agent", "vault-agent-init", "daprd",
	"consul-dataplane", "consul-connect-inject-init", "kuma-sidecar", "kuma-init",
	"cloud-sql-proxy", "cloudsql-proxy", "aws-appmesh-proxy", "envoy", "xray-daemon",
}

// collectors are the names of containers and images that collect telemetry
// themselves.
var collectors = []string{
	"otc-container", "otel-collector", "opentelemetry-collector",
	"opentelemetry-collector-contrib", "opentelemetry-collector-k8s", "otelcol", "otelcol-contrib",
	"aws-otel-collector", "adot-collector", "jaeger-agent", "jaeger-collector", "grafana-agent", "alloy",
}

func foreignSidecars(c Config) map[string]bool {
	names := map[string]bool{sidecarapi.ContainerName: true}
	for _, list := range [][]string{wellKnownSidecars, collectors, c.ForeignSidecars} {
		for _, name := range list {
			names[name] = true
		}
	}
	return names
}

// foreignCollector finds what a sidecar of ours would collide with: a collector
// of the pod's own, or an app on one of its ports. The sidecar starts first, so
// it is the app whose listen would fail.
func (w *wiring) foreignCollector() (Note, bool) {
	switch w.pod.Metadata.Annotations["sidecar.opentelemetry.io/inject"] {
	case "", "false":
	default:
		return Note{Reason: ForeignCollector, Subject: "sidecar.opentelemetry.io/inject"}, true
	}
	for _, list := range [...][]container{w.pod.Spec.Containers, w.pod.Spec.InitContainers} {
		for i := range list {
			c := &list[i]
			if c.Name == sidecarapi.ContainerName {
				continue
			}
			if slices.Contains(collectors, c.Name) || slices.Contains(collectors, imageName(c.Image)) {
				return Note{Reason: ForeignCollector, Container: c.Name}, true
			}
			for _, p := range c.Ports {
				switch p.ContainerPort {
				case sidecarapi.PortOTLPGRPC, sidecarapi.PortOTLPHTTP, sidecarapi.MetricsPort:
					return Note{Reason: PortTaken, Container: c.Name, Subject: "port " + itoa(p.ContainerPort)}, true
				}
			}
		}
	}
	return Note{}, false
}

// imageName is the last element of an image's repository.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndexByte(image, '/')+1:]
	name, _, _ := strings.Cut(image, ":")
	return name
}

func (w *wiring) wireContainers() {
	w.checkContainerNames()
	for i := range w.pod.Spec.Containers {
		w.wireContainer(&w.pod.Spec.Containers[i], "containers", i)
	}
	for i := range w.pod.Spec.InitContainers {
		c := &w.pod.Spec.InitContainers[i]
		if w.native || c.RestartPolicy == "Always" {
			w.wireContainer(c, "initContainers", i)
		} // else nothing would receive yet what an init container sends
	}
}

// checkContainerNames tells names in the annotation that no container has.
func (w *wiring) checkContainerNames() {
	for _, name := range w.request.Containers {
		is := func(c container) bool { return c.Name == name }
		if !slices.ContainsFunc(w.pod.Spec.Containers, is) && !slices.ContainsFunc(w.pod.Spec.InitContainers, is) {
			w.note(Note{Reason: UnknownContainer, Subject: injection.AnnotationContainers, Detail: name})
		}
	}
}

func (w *wiring) wireContainer(c *container, list string, index int) {
	old, owned := w.old.container(c.Name)
	if owned && w.current() {
		w.status.Containers = append(w.status.Containers, old)
		return
	}
	if !w.selected(c) {
		if owned {
			w.unwireContainer(c, list, index, old)
		}
		return
	}
	e := environment{wiring: w, container: c, list: list, index: index, old: old, owned: owned}
	e.status.Name = c.Name
	e.wire()
	w.status.Containers = append(w.status.Containers, e.status)
}

// selected tells whether a container gets environment, and notes why not where
// that is worth knowing.
func (w *wiring) selected(c *container) bool {
	named := slices.Contains(w.request.Containers, c.Name)
	switch {
	case c.Name == sidecarapi.ContainerName:
		return false
	case named:
		return true
	case w.request.Containers != nil:
		return false
	case w.foreign[c.Name]:
		w.note(Note{Reason: ForeignSidecar, Container: c.Name})
		return false
	}
	if source, hidden := hiddenSource(c); hidden {
		w.note(Note{Reason: HiddenVariables, Container: c.Name, Subject: source})
		return false
	}
	return true
}

// hiddenSource finds an envFrom whose variables may be ones that we would set.
// Kubernetes lets env override envFrom, and a pod does not tell what is in a
// ConfigMap, so the only way not to override the user's is not to set ours.
func hiddenSource(c *container) (string, bool) {
	for _, from := range c.EnvFrom {
		const ours = "OTEL_"
		if n := min(len(ours), len(from.Prefix)); from.Prefix[:n] != ours[:n] {
			continue // no name with this prefix is one of ours
		}
		if from.SecretRef.Name != "" {
			return "Secret " + from.SecretRef.Name, true
		}
		return "ConfigMap " + from.ConfigMapRef.Name, true
	}
	return "", false
}

// unwireContainer takes back what an older wiring set.
func (w *wiring) unwireContainer(c *container, list string, index int, old ContainerStatus) {
	e := environment{wiring: w, container: c, list: list, index: index, old: old, owned: true}
	e.find()
	for _, i := range e.surplus() {
		w.patch.remove("spec", list, itoa(index), "env", itoa(i))
	}
}
