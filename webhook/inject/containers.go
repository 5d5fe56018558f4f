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

// foreignCollector returns a note about something that our sidecar would collide
// with: a collector in the pod, or a container that listens on one of its ports.
// The sidecar starts first, so the other container's listen would fail.
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

// imageName returns the last element of an image's repository.
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
	case w.engine.foreign[c.Name]:
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
