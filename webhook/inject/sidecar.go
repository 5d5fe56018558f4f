package inject

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/nova/novawire/api/attribute"
	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/validate"
)

// sidecarTemplate is the sidecar's JSON from its name on, without the closing
// brace and without what differs from pod to pod. It satisfies Pod Security
// "restricted". It has no probe: a sidecar that is not well must not hold up,
// restart or unready the app.
func sidecarTemplate(s Sidecar) []byte {
	dst := []byte{'{'}
	dst = appendMember(dst, "name", sidecarapi.ContainerName)
	dst = appendMember(dst, "image", s.Image)
	dst = appendMember(dst, "imagePullPolicy", s.ImagePullPolicy)
	dst = append(dst, `,"ports":[{"name":"`+sidecarapi.MetricsPortName+`","containerPort":`+itoa(sidecarapi.MetricsPort)+`,"protocol":"TCP"}]`...)
	return append(dst, `,"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},`+
		`"readOnlyRootFilesystem":true,"runAsGroup":65532,"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}}`...)
}

// sidecarSettings are the configured elements of its env, sorted by name.
func sidecarSettings(s Sidecar) (dst []byte) {
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
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

// placeSidecar adds, replaces or removes the collector container. Its place is
// the first among the init containers, so that it receives before anything else
// of the pod starts.
func (w *wiring) placeSidecar() {
	w.status.Collector = w.collector
	list, index := w.findSidecar()
	wanted := w.collector == injection.CollectorSidecar
	ours := w.wired && w.old.Collector == injection.CollectorSidecar
	here, there := "initContainers", "0"
	if !w.native {
		here, there = "containers", "-"
	}
	switch {
	case index >= 0 && !ours:
		w.note(Note{Reason: UserCollector, Container: sidecarapi.ContainerName})
		return
	case index >= 0 && w.current():
		return
	case index >= 0 && wanted && list == here:
		w.patch.replace("spec", list, itoa(index))
		w.patch.json = w.appendSidecar(w.patch.json)
		w.patch.end()
		return
	case index >= 0:
		w.patch.remove("spec", list, itoa(index))
	}
	if !wanted {
		return
	}
	w.explain(sidecarapi.ContainerName, "container", w.config.Sidecar.Image, "collector", w.source(injection.AnnotationCollector))
	if w.native && len(w.pod.Spec.InitContainers) == 0 {
		w.patch.add("spec", here)
		w.patch.json = append(w.appendSidecar(append(w.patch.json, '[')), ']')
	} else {
		w.patch.add("spec", here, there)
		w.patch.json = w.appendSidecar(w.patch.json)
	}
	w.patch.end()
}

func (w *wiring) findSidecar() (list string, index int) {
	is := func(c container) bool { return c.Name == sidecarapi.ContainerName }
	if i := slices.IndexFunc(w.pod.Spec.InitContainers, is); i >= 0 {
		return "initContainers", i
	}
	return "containers", slices.IndexFunc(w.pod.Spec.Containers, is)
}

func (w *wiring) appendSidecar(dst []byte) []byte {
	dst = append(dst, w.sidecar...)
	if w.native {
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
	dst = append(append(dst, w.settings...), ']')
	return append(w.appendResources(dst), '}')
}

// sidecarAttributes are what the sidecar adds to telemetry that lacks them.
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

// appendResources leaves the pod as its owner meant it: a pod with resources of
// its own may not be exceeded by its containers, and a Guaranteed pod stays so.
func (w *wiring) appendResources(dst []byte) []byte {
	if hidden(w.pod.Spec.Resources) && !bytes.Equal(w.pod.Spec.Resources, []byte("{}")) {
		w.note(Note{Reason: PodResources, Container: sidecarapi.ContainerName})
		return dst
	}
	r := w.request.Sidecar
	if w.guaranteed() {
		w.note(Note{Reason: Guaranteed, Container: sidecarapi.ContainerName})
		r.CPURequest, r.MemoryRequest = r.CPULimit, r.MemoryLimit
	}
	dst = append(dst, `,"resources":{"limits":`...)
	dst = appendAmounts(dst, r.CPULimit, r.MemoryLimit)
	dst = append(dst, `,"requests":`...)
	return append(appendAmounts(dst, r.CPURequest, r.MemoryRequest), '}')
}

func appendAmounts(dst []byte, cpu, memory string) []byte {
	return append(appendMember(appendMember(append(dst, '{'), "cpu", cpu), "memory", memory), '}')
}

// guaranteed tells a pod whose QoS class is Guaranteed without the sidecar:
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

// equalAmount compares a request with a limit; a request that is not given is
// the limit.
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
