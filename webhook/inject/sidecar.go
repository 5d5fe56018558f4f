package inject

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api/attribute"
	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/validate"
)

// sidecarTemplate returns the beginning of the sidecar's JSON, up to the number of its
// metrics port. The members behind it differ between pods. It satisfies the Pod Security
// Standard "restricted". It has no probes: an unhealthy sidecar must not delay,
// restart or unready the app.
func sidecarTemplate(s Sidecar) []byte {
	dst := []byte{'{'}
	dst = appendMember(dst, "name", sidecarapi.ContainerName)
	dst = appendMember(dst, "image", s.Image)
	dst = appendMember(dst, "imagePullPolicy", s.ImagePullPolicy)
	return append(dst, `,"ports":[{"name":"`+sidecarapi.MetricsPortName+`","containerPort":`...)
}

// sidecarSettings returns the configured variables of the sidecar as JSON elements of
// env, sorted by name. The one that annotations override is not among them.
func sidecarSettings(s Sidecar) (dst []byte) {
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		if name == sidecarapi.EnvSpanMetrics {
			continue
		}
		dst = append(dst, ',')
		dst = appendVariable(dst, name, escapeReferences(s.Env[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.SecretEnv)) {
		secret, key, _ := strings.Cut(s.SecretEnv[name], "/")
		dst = append(dst, `,{"name":"`+name+`","valueFrom":{"secretKeyRef":`...)
		dst = append(appendMember(appendMember(append(dst, '{'), "name", secret), "key", key), `,"optional":true}}}`...)
	}
	return dst
}

// placeSidecar adds, replaces, moves or removes the collector container. It is the
// first init container, so that it receives telemetry before anything else in the pod
// starts; only the native sidecars of a service mesh start before it, because it must
// end before the network does.
func (w *wiring) placeSidecar() {
	w.status.Collector = w.collector
	list, index := w.findSidecar()
	wanted := w.collector == injection.CollectorSidecar
	ours := w.previous.Collector == injection.CollectorSidecar
	wantedList, afterMesh := "initContainers", w.firstIndexAfterMesh()
	position := itoa(afterMesh)
	if !w.engine.native {
		wantedList, position, afterMesh = "containers", "-", 0
	}
	inPlace := list == wantedList && index >= afterMesh
	switch {
	case index >= 0 && !ours:
		w.note(Note{Reason: UserCollector, Container: sidecarapi.ContainerName})
		return
	case index >= 0 && w.upToDate() && (inPlace || !wanted):
		return
	case wanted && inPlace:
		w.patch.replace("spec", list, itoa(index))
		w.patch.json = w.appendSidecar(w.patch.json)
		w.patch.end()
		return
	case index >= 0:
		w.patch.remove("spec", list, itoa(index))
		if list == wantedList {
			position = itoa(afterMesh - 1) // it was before the mesh's; the removal moves them
		}
	}
	if !wanted {
		return
	}
	w.explain(sidecarapi.ContainerName, "container", w.engine.config.Sidecar.Image, "collector", w.source(injection.AnnotationCollector))
	if w.request.SpanMetrics {
		from := w.source(injection.AnnotationSpanMetrics)
		if from == "default" { // which is off: the sidecar's own variable
			from = "config sidecar.env"
		}
		w.explain(sidecarapi.ContainerName, sidecarapi.EnvSpanMetrics, "true", "span metrics", from)
	}
	if w.engine.native && len(w.pod.Spec.InitContainers) == 0 {
		w.patch.add("spec", wantedList)
		w.patch.json = append(w.appendSidecar(append(w.patch.json, '[')), ']')
	} else {
		w.patch.add("spec", wantedList, position)
		w.patch.json = w.appendSidecar(w.patch.json)
	}
	w.patch.end()
}

// firstIndexAfterMesh returns the index behind the last native sidecar of a service
// mesh among the init containers, or 0.
func (w *wiring) firstIndexAfterMesh() (index int) {
	for i := range w.pod.Spec.InitContainers {
		c := &w.pod.Spec.InitContainers[i]
		if c.RestartPolicy == "Always" && slices.Contains(meshProxies, c.Name) {
			index = i + 1
		}
	}
	return index
}

func (w *wiring) findSidecar() (list string, index int) {
	is := func(c container) bool { return c.Name == sidecarapi.ContainerName }
	if i := slices.IndexFunc(w.pod.Spec.InitContainers, is); i >= 0 {
		return "initContainers", i
	}
	return "containers", slices.IndexFunc(w.pod.Spec.Containers, is)
}

func (w *wiring) appendSidecar(dst []byte) []byte {
	dst = append(dst, w.engine.sidecar...)
	dst = strconv.AppendInt(dst, int64(w.ports.metrics), 10)
	dst = append(dst, `,"protocol":"TCP"}],"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true`...)
	if w.anyUser {
		dst = append(dst, `,"runAsNonRoot":true`...)
	} else {
		dst = append(dst, `,"runAsGroup":65532,"runAsNonRoot":true,"runAsUser":65532`...)
	}
	dst = append(dst, `,"seccompProfile":{"type":"RuntimeDefault"}}`...)
	if w.engine.native {
		dst = append(dst, `,"restartPolicy":"Always"`...)
	}
	dst = append(dst, `,"env":[`...)
	for v, field := range identityFields {
		if v > 0 {
			dst = append(dst, ',')
		}
		dst = appendFieldVariable(dst, variableNames[v], field)
	}
	dst = append(dst, ',')
	dst = appendVariable(dst, sidecarapi.EnvResourceAttributes, w.sidecarAttributes())
	if w.request.SpanMetrics {
		dst = appendVariable(append(dst, ','), sidecarapi.EnvSpanMetrics, "true")
	}
	if w.ports.grpc != sidecarapi.PortOTLPGRPC {
		dst = appendVariable(append(dst, ','), sidecarapi.EnvListen, "127.0.0.1:"+itoa(w.ports.grpc)+",127.0.0.1:"+itoa(w.ports.http))
	}
	if w.ports.metrics != sidecarapi.MetricsPort {
		dst = appendVariable(append(dst, ','), sidecarapi.EnvMetricsListen, ":"+itoa(w.ports.metrics))
	}
	if rules := w.request.Redact; rules != "" {
		w.explain(sidecarapi.ContainerName, sidecarapi.EnvRedact, rules, "redaction", w.source(injection.AnnotationRedact))
		dst = appendVariable(append(dst, ','), sidecarapi.EnvRedact, escapeReferences(rules))
	}
	dst = append(append(dst, w.engine.settings...), ']')
	return append(w.appendResources(dst), '}')
}

// sidecarAttributes returns the attributes that the sidecar adds to telemetry
// without them.
func (w *wiring) sidecarAttributes() []byte {
	list := w.scratch[:0]
	add := func(key, value string) {
		if value != "" {
			list = attribute.Append(list, 0, attribute.KeyValue{Key: key, Value: value})
		}
	}
	add("service.name", escapeReferences(w.service.Name))
	if len(w.pod.Spec.Containers) == 1 && !has(w.request.ResourceAttributes, "service.version") {
		add("service.version", imageVersion(w.pod.Spec.Containers[0].Image))
	}
	w.podAttributes(add)
	w.scratch = list
	return list
}

// appendResources appends the sidecar's resources. A pod with pod-level resources
// gets none, because its containers must not exceed them. In a pod of QoS class
// Guaranteed the requests equal the limits, so that the class stays.
func (w *wiring) appendResources(dst []byte) []byte {
	if w.hasPodResources() {
		w.note(Note{Reason: PodResources, Container: sidecarapi.ContainerName})
		return dst
	}
	r := w.request.Sidecar
	if w.guaranteed() {
		w.note(Note{Reason: Guaranteed, Container: sidecarapi.ContainerName})
		r.CPURequest, r.MemoryRequest = r.CPULimit, r.MemoryLimit
	}
	if len(w.resized) > 0 {
		w.note(Note{Reason: Resized, Container: sidecarapi.ContainerName, Detail: strings.Join(w.resized, ", ")})
	}
	dst = append(dst, `,"resources":{"limits":`...)
	dst = appendAmounts(dst, r.CPULimit, r.MemoryLimit)
	dst = append(dst, `,"requests":`...)
	return append(appendAmounts(dst, r.CPURequest, r.MemoryRequest), '}')
}

func appendAmounts(dst []byte, cpu, memory string) []byte {
	return append(appendMember(appendMember(append(dst, '{'), "cpu", cpu), "memory", memory), '}')
}

// guaranteed reports whether the pod's QoS class is Guaranteed without the sidecar:
// every container has limits on CPU and memory, and no lower requests.
func (w *wiring) guaranteed() bool {
	for _, list := range [...][]container{w.pod.Spec.Containers, w.pod.Spec.InitContainers} {
		for i := range list {
			r := &list[i].Resources
			if list[i].Name != sidecarapi.ContainerName && !(equalAmount(string(r.Requests.CPU), string(r.Limits.CPU)) && equalAmount(string(r.Requests.Memory), string(r.Limits.Memory))) {
				return false
			}
		}
	}
	return true
}

// equalAmount reports whether a request equals a limit. A missing request defaults
// to the limit.
func equalAmount(request, limit string) bool {
	if limit == "" || limit == "null" {
		return false
	}
	if request == "" || request == "null" || request == limit {
		return true
	}
	r, errRequest := validate.ParseQuantity(strings.Trim(request, `"`))
	l, errLimit := validate.ParseQuantity(strings.Trim(limit, `"`))
	return errRequest == nil && errLimit == nil && r.Cmp(l) == 0
}
