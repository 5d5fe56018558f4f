package inject

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// wellKnownSidecars are containers that other injectors add. They are not part of
// the app, and our variables could change their behaviour.
var wellKnownSidecars = []string{
	"istio-proxy", "istio-init", "istio-validation",
	"linkerd-proxy", "linkerd-init", "linkerd-network-validator",
	"vault-agent", "vault-agent-init", "daprd",
	"consul-dataplane", "consul-connect-inject-init", "kuma-sidecar", "kuma-init",
	"cloud-sql-proxy", "cloudsql-proxy", "aws-appmesh-proxy", "envoy", "xray-daemon",
}

// meshProxies are the native sidecars of service meshes. They carry the pod's network
// traffic, so our sidecar must end before them: it starts after them.
var meshProxies = []string{"istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane", "aws-appmesh-proxy", "envoy"}

// collectors are names of containers and images that are telemetry collectors.
var collectors = []string{
	"otc-container", "otel-collector", "opentelemetry-collector",
	"opentelemetry-collector-contrib", "opentelemetry-collector-k8s", "otelcol", "otelcol-contrib",
	"aws-otel-collector", "adot-collector", "jaeger-agent", "jaeger-collector", "grafana-agent", "alloy",
}

// foreignSidecars returns the names of containers that are not part of the app.
func foreignSidecars(c Config) map[string]bool {
	names := map[string]bool{sidecarapi.ContainerName: true}
	for _, list := range [][]string{wellKnownSidecars, collectors, c.ForeignSidecars} {
		for _, name := range list {
			names[name] = true
		}
	}
	return names
}

// isCollector reports whether a container is a telemetry collector, by its name or its
// image. Resource attributes in its environment would be added to the telemetry of
// others.
func isCollector(c *container) bool {
	return slices.Contains(collectors, c.Name) || slices.Contains(collectors, imageName(c.Image))
}

// isForeign reports whether a container is not part of the app.
func (e *Engine) isForeign(c *container) bool {
	return e.foreign[c.Name] || isCollector(c) || isOTLPServer(c)
}

// foreignCollector returns a note if the pod has a collector, which then receives the
// telemetry in place of our sidecar.
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
			if isCollector(c) {
				return Note{Reason: ForeignCollector, Container: c.Name}, true
			}
		}
	}
	return Note{}, false
}

// imageName returns the last element of an image's repository.
func imageName(image string) string {
	repository := imageRepository(image)
	return repository[strings.LastIndexByte(repository, '/')+1:]
}

func (w *wiring) wireContainers() {
	w.checkContainerNames()
	for i := range w.pod.Spec.Containers {
		w.wireContainer(&w.pod.Spec.Containers[i], "containers", i)
	}
	for i := range w.pod.Spec.InitContainers {
		c := &w.pod.Spec.InitContainers[i]
		if w.engine.native || c.RestartPolicy == "Always" {
			w.wireContainer(c, "initContainers", i)
		} // otherwise no collector runs yet when the init container does
	}
}

// checkContainerNames adds a note for each name in the annotation that no container has.
func (w *wiring) checkContainerNames() {
	for _, name := range w.request.Containers {
		is := func(c container) bool { return c.Name == name }
		if !slices.ContainsFunc(w.pod.Spec.Containers, is) && !slices.ContainsFunc(w.pod.Spec.InitContainers, is) {
			w.note(Note{Reason: UnknownContainer, Subject: injection.AnnotationContainers, Detail: name})
		}
	}
}

func (w *wiring) wireContainer(c *container, list string, index int) {
	previous, hasPrevious := w.previous.container(c.Name)
	if hasPrevious && w.upToDate() {
		w.status.Containers = append(w.status.Containers, previous)
		return
	}
	e := environment{wiring: w, container: c, list: list, index: index, previous: previous, hasPrevious: hasPrevious}
	if !w.selected(c) {
		if hasPrevious {
			e.unwire()
		}
		return
	}
	e.status.Name = c.Name
	e.wire()
	w.status.Containers = append(w.status.Containers, e.status)
}

// selected reports whether a container gets variables, and adds a note if the user
// might not expect that it gets none.
func (w *wiring) selected(c *container) bool {
	named := slices.Contains(w.request.Containers, c.Name)
	switch {
	case c.Name == sidecarapi.ContainerName:
		return false
	case named:
		return true
	case w.request.Containers != nil:
		return false
	case c.foreign:
		w.note(Note{Reason: ForeignSidecar, Container: c.Name})
		return false
	}
	if source, hidden := hiddenSource(c); hidden {
		w.note(Note{Reason: HiddenVariables, Container: c.Name, Subject: source})
		return false
	}
	return true
}

// hiddenSource returns an envFrom source that can define variables which we would
// set. In Kubernetes env overrides envFrom, and the pod does not show the keys of
// a ConfigMap: we can only avoid overriding the user's variables by setting none.
func hiddenSource(c *container) (string, bool) {
	for _, from := range c.EnvFrom {
		const ours = "OTEL_"
		if n := min(len(ours), len(from.Prefix)); from.Prefix[:n] != ours[:n] {
			continue // none of our names has this prefix
		}
		if from.SecretRef.Name != "" {
			return "Secret " + from.SecretRef.Name, true
		}
		return "ConfigMap " + from.ConfigMapRef.Name, true
	}
	return "", false
}

// unwire removes the variables that an earlier wiring set.
func (e *environment) unwire() {
	e.find()
	for _, i := range e.surplus() {
		e.wiring.patch.remove("spec", e.list, itoa(e.index), "env", itoa(i))
	}
}
