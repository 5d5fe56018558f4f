// Package inject decides how a pod is wired for observability: a pod, the
// defaults of its namespace and a configuration go in; JSON patch operations, a
// decision and its reasons come out. It is pure: no clock, no API calls, no
// state beside the configuration.
//
// It never writes a pod anew. Operations are made by hand from the few fields it
// reads, so a field that this build has never heard of survives.
package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
)

// Engine wires pods by one configuration. It is safe for concurrent use.
type Engine struct {
	config   Config
	hash     string
	native   bool
	defaults injection.Request
	foreign  map[string]bool // names of containers that are no part of an app
	sidecar  []byte          // the part of the sidecar that is the same everywhere
	settings []byte          // its settings, as elements of env
}

// New makes an engine, or tells every mistake of the configuration.
func New(config Config) (*Engine, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	native, err := config.nativeSidecar()
	if err != nil {
		return nil, err
	}
	defaults, _ := injection.ParseRequest(defaultRequest(config), injection.Layer{Source: "default", Annotations: config.Defaults})
	e := &Engine{config: config, hash: config.hash(), native: native, defaults: defaults, foreign: foreignSidecars(config)}
	e.sidecar, e.settings = sidecarTemplate(config.Sidecar), sidecarSettings(config.Sidecar)
	return e, nil
}

// Hash identifies the engine's configuration, as statuses record it.
func (e *Engine) Hash() string { return e.hash }

// Namespace is what injection knows of a pod's namespace.
type Namespace struct {
	Name        string
	Annotations map[string]string
}

// Result is the answer for one pod.
type Result struct {
	Decision
	Patch       []byte // RFC 6902, relative to the pod; nil to change nothing
	Explanation []Line // from Explain alone
}

// Pod decides for a pod, given as the API server sends it. The error tells that
// raw is not a pod; there is nothing else that fails.
func (e *Engine) Pod(raw []byte, ns Namespace) (Result, error) {
	return e.decide(raw, ns, workload.Owner{}, false)
}

// Template decides for the pod template of a workload: {metadata, spec}. An
// empty owner is taken from the template, as for a pod.
func (e *Engine) Template(raw []byte, ns Namespace, owner workload.Owner) (Result, error) {
	return e.decide(raw, ns, owner, false)
}

// Explain is Template that also tells where each value comes from.
func (e *Engine) Explain(raw []byte, ns Namespace, owner workload.Owner) (Result, error) {
	return e.decide(raw, ns, owner, true)
}

// ServiceName is the name that the pods of a template report under, unless a
// container sets its own; "" for a template that is left alone.
func (e *Engine) ServiceName(raw []byte, ns Namespace, owner workload.Owner) string {
	pod, err := e.read(raw)
	if err != nil {
		return ""
	}
	if _, skip := skipReason(&pod); skip {
		return ""
	}
	w := newWiring(e, &pod, ns, owner)
	w.nameService()
	return w.service.Name
}

// MisplacedAnnotations notes annotations of a workload itself, which only mean
// something on its pod template; sorted.
func MisplacedAnnotations(annotations map[string]string) (notes []Note) {
	for key := range annotations {
		if strings.HasPrefix(key, injection.AnnotationPrefix) {
			notes = append(notes, Note{Reason: Misplaced, Subject: key})
		}
	}
	slices.SortFunc(notes, func(a, b Note) int { return strings.Compare(a.Subject, b.Subject) })
	return notes
}

func (*Engine) read(raw []byte) (pod, error) {
	p, err := decode(raw)
	if err != nil {
		return pod{}, fmt.Errorf("read pod: %w", err)
	}
	if p.Metadata == nil {
		p.Metadata = &noMetadata
	}
	return p, nil
}

func (e *Engine) decide(raw []byte, ns Namespace, owner workload.Owner, explain bool) (Result, error) {
	pod, err := e.read(raw)
	if err != nil {
		return Result{}, err
	}
	if reason, skip := skipReason(&pod); skip {
		return Result{Decision: Decision{Action: Skipped, Reason: reason}}, nil
	}
	w := newWiring(e, &pod, ns, owner)
	w.explaining = explain
	if reason, skip := w.chooseCollector(); skip {
		return Result{Decision: Decision{Action: Skipped, Reason: reason, Notes: w.notes}}, nil
	}
	w.nameService()
	w.wireContainers()
	w.placeSidecar()
	w.wireMetadata()
	return w.result(), nil
}

// skipReason tells the pods that are none of our business.
func skipReason(p *pod) (Reason, bool) {
	switch {
	case p.Metadata.Labels[injection.LabelWiring] == injection.WiringDisabled:
		return OptedOut, true
	case p.Metadata.Annotations["kubernetes.io/config.mirror"] != "":
		return MirrorPod, true
	case p.Spec.OS.Name == "windows", p.Spec.NodeSelector["kubernetes.io/os"] == "windows":
		return Windows, true
	}
	return "", false
}
