package injection

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/internal/validate"
)

// Policy limits what Namespaces and pods may set. The zero value allows everything.
// Annotations of resource.opentelemetry.io are allowed with [AnnotationResourceAttributes],
// and each way of naming a service with [AnnotationServiceName].
type Policy struct {
	// Namespace are the annotations that a Namespace may set; nil for all.
	Namespace []string `json:"namespace,omitzero"`
	// Pod are the annotations that a pod may set; nil for all.
	Pod []string `json:"pod,omitzero"`
	// SidecarMaximum is the most that either may request for the sidecar.
	SidecarMaximum Maximum `json:"sidecarMaximum,omitzero"`
}

// Maximum bounds requests and limits of the sidecar, each a quantity or "" for no bound.
type Maximum struct {
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
}

// Validate returns an error for the first entry that is not the name of an annotation
// or not a quantity.
func (p Policy) Validate() error {
	for _, list := range []struct {
		path string
		keys []string
	}{{"namespace", p.Namespace}, {"pod", p.Pod}} {
		for _, key := range list.keys {
			if isRequestKey(key) {
				continue
			}
			hint := ""
			if nearest := api.Nearest(keys, key); nearest != "" {
				hint = "; did you mean " + nearest + "?"
			}
			return fmt.Errorf("%s: %q is not an annotation of pods%s", list.path, key, hint)
		}
	}
	for _, bound := range []struct{ path, value, least string }{
		{"cpu", p.SidecarMaximum.CPU, MinimumSidecarCPU}, {"memory", p.SidecarMaximum.Memory, MinimumSidecarMemory},
	} {
		var ignored string
		if bound.value == "" {
			continue
		}
		if err := setQuantity(&ignored, bound.value, bound.least); err != nil {
			return fmt.Errorf("sidecarMaximum.%s: %q: use %w", bound.path, bound.value, err)
		}
	}
	return nil
}

// Check returns an error for the first value above the maximum.
func (m Maximum) Check(r Resources) error {
	for _, c := range []struct{ key, value string }{
		{AnnotationSidecarCPURequest, r.CPURequest},
		{AnnotationSidecarCPULimit, r.CPULimit},
		{AnnotationSidecarMemoryRequest, r.MemoryRequest},
		{AnnotationSidecarMemoryLimit, r.MemoryLimit},
	} {
		if bound := m.of(c.key); exceeds(c.value, bound) {
			return fmt.Errorf("%s is above the maximum, %s", c.value, bound)
		}
	}
	return nil
}

// of returns the bound of a key, or "".
func (m Maximum) of(key string) string {
	switch key {
	case AnnotationSidecarCPURequest, AnnotationSidecarCPULimit:
		return m.CPU
	case AnnotationSidecarMemoryRequest, AnnotationSidecarMemoryLimit:
		return m.Memory
	}
	return ""
}

// may reports whether a layer may set a key. Layers of the configuration may set all.
func (p Policy) may(source, key string) bool {
	allowed := p.allowed(source)
	return allowed == nil || slices.Contains(allowed, key)
}

func (p Policy) allowed(source string) []string {
	switch source {
	case SourceNamespace:
		return p.Namespace
	case SourcePod:
		return p.Pod
	}
	return nil
}

// forbids returns the refusal of a layer's value of a key, and whether the policy
// forbids it.
func (p Policy) forbids(layer Layer, key, value string) (validate.Refusal, bool) {
	refusal := validate.Refusal{Source: layer.Source, Setting: key, Value: validate.Redact(value), Ignored: true, Forbidden: true}
	if !p.may(layer.Source, key) {
		refusal.Problem = "the platform does not let a " + layer.Source + " set it; it may set " + shortNames(p.allowed(layer.Source))
		return refusal, true
	}
	if layer.Source == SourceNamespace || layer.Source == SourcePod {
		if bound := p.SidecarMaximum.of(key); exceeds(value, bound) {
			refusal.Problem = "the platform allows at most " + bound
			return refusal, true
		}
	}
	return validate.Refusal{}, false
}

// shortNames lists keys without their prefix, so that a warning is short.
func shortNames(keys []string) string {
	if len(keys) == 0 {
		return "no annotation"
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = strings.TrimPrefix(key, AnnotationPrefix)
	}
	return strings.Join(names, ", ")
}
