// Package inject decides how a pod is wired for observability. Its input is a
// pod, the annotations of the pod's namespace and a configuration; its output is
// a JSON patch, a decision and the reasons for it. The package is pure: it has no
// clock, makes no API calls and keeps no state except the configuration.
//
// It never re-marshals a pod. It writes the patch operations itself, from the few
// fields that it reads, so that fields which this build does not know survive.
package inject

import (
	"slices"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/workload"
)

// Engine wires pods according to one configuration. It is safe for concurrent use.
type Engine struct {
	config   Config
	others   map[string]*Engine // of namespaces with a configuration of their own
	hash     string
	native   bool
	defaults injection.Request
	foreign  map[string]bool // names of containers that other injectors add
	sidecar  []byte          // JSON of the sidecar, without what differs between pods
	settings []byte          // its configured variables, as JSON elements of env
}

// New returns an engine, or an error that lists every mistake in the configuration.
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
	for name := range config.Namespaces {
		other, err := New(config.in(name))
		if err != nil {
			return nil, err // it was validated above
		}
		if e.others == nil {
			e.others = map[string]*Engine{}
		}
		e.others[name] = other
	}
	e.sidecar, e.settings = sidecarTemplate(config.Sidecar), sidecarSettings(config.Sidecar)
	return e, nil
}

// Hash returns the hash of the configuration, which the status annotation records.
func (e *Engine) Hash() string { return e.hash }

// Namespace is the part of a pod's namespace that injection reads.
type Namespace struct {
	Name        string
	Annotations map[string]string
	// Limits are those of its LimitRanges and ResourceQuotas; nil if there are none, or if
	// they are not known.
	Limits *Limits
}

// Result is the decision about one pod, with the patch that carries it out.
type Result struct {
	Decision
	Patch       []byte // RFC 6902, relative to the pod; nil if nothing changes
	Explanation []Line // only from Explain
}

// Pod decides about a pod, given as the API server sends it. It returns an error
// only if raw cannot be decoded as a pod.
func (e *Engine) Pod(raw []byte, ns Namespace) (Result, error) {
	return e.decide(raw, ns, workload.Owner{}, false)
}

// Template decides about the pod template of a workload: {metadata, spec}. If
// owner is the zero value, the owner is read from the metadata, as for a pod.
func (e *Engine) Template(raw []byte, ns Namespace, owner workload.Owner) (Result, error) {
	return e.decide(raw, ns, owner, false)
}

// Explain is like Template and also returns where each value comes from.
func (e *Engine) Explain(raw []byte, ns Namespace, owner workload.Owner) (Result, error) {
	return e.decide(raw, ns, owner, true)
}

// ServiceName returns the service name of the pods of a template. A container can
// still set its own. The name is "" if the template is skipped.
func (e *Engine) ServiceName(raw []byte, ns Namespace, owner workload.Owner) string {
	pod, err := decode(raw)
	if err != nil {
		return ""
	}
	if _, skip := skipReason(&pod); skip {
		return ""
	}
	w := newWiring(e.in(ns), &pod, ns, owner)
	w.nameService()
	return w.service.Name
}

func (e *Engine) decide(raw []byte, ns Namespace, owner workload.Owner, explain bool) (Result, error) {
	pod, err := decode(raw)
	if err != nil {
		return Result{}, err
	}
	if reason, skip := skipReason(&pod); skip {
		return Result{Decision: Decision{Action: Skipped, Reason: reason}}, nil
	}
	w := newWiring(e.in(ns), &pod, ns, owner)
	w.withExplanation = explain
	w.raw = raw
	if reason, skip := w.chooseCollector(); skip {
		return Result{Decision: Decision{Action: Skipped, Reason: reason, Notes: w.notes}}, nil
	}
	w.checkRedaction()
	w.nameService()
	w.wireContainers()
	w.mergeMetrics()
	w.placeSidecar()
	w.wireMetadata()
	return w.result(), nil
}

// in returns the engine of a namespace.
func (e *Engine) in(ns Namespace) *Engine {
	if other := e.others[ns.Name]; other != nil {
		return other
	}
	return e
}

// isWindows reports whether a pod can only run on Windows nodes.
func isWindows(s *spec) bool {
	if s.OS.Name == "windows" || isWindowsNode(s.NodeSelector["kubernetes.io/os"]) || isWindowsNode(s.NodeSelector["beta.kubernetes.io/os"]) {
		return true
	}
	hostProcess := s.SecurityContext.hostProcess
	for i := range s.Containers {
		hostProcess = hostProcess || s.Containers[i].SecurityContext.hostProcess
	}
	return hostProcess || s.Affinity.NodeAffinity.Required.onlyWindows()
}

func isWindowsNode(os string) bool { return os == "windows" }

// onlyWindows reports whether every term needs a Windows node. Terms are alternatives,
// the expressions of a term apply together.
func (n nodeSelector) onlyWindows() bool {
	for _, term := range n.Terms {
		if !slices.ContainsFunc(term.Expressions, nodeExpression.needsWindows) {
			return false
		}
	}
	return len(n.Terms) > 0
}

func (e nodeExpression) needsWindows() bool {
	if e.Key != "kubernetes.io/os" && e.Key != "beta.kubernetes.io/os" {
		return false
	}
	return e.Operator == "In" && len(e.Values) == 1 && isWindowsNode(e.Values[0]) ||
		e.Operator == "NotIn" && slices.Contains(e.Values, "linux")
}

// skipReason returns why a pod is not wired at all, and whether there is a reason.
func skipReason(p *pod) (Reason, bool) {
	switch {
	case p.Metadata.Labels[injection.LabelWiring] == injection.WiringDisabled:
		return OptedOut, true
	case p.Metadata.Annotations["kubernetes.io/config.mirror"] != "":
		return MirrorPod, true
	case isWindows(&p.Spec):
		return Windows, true
	}
	return "", false
}
