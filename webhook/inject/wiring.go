package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/internal/workload"
)

// wiring is the work on one pod.
type wiring struct {
	*Engine
	pod       *pod
	namespace string
	layers    [2]injection.Layer // of the request, for explanations
	mistakes  []validate.Refusal
	owner     workload.Owner
	request   injection.Request

	old    Status // of an earlier wiring
	wired  bool   // old is there
	stale  bool   // old is of another configuration
	status Status

	collector injection.Collector // what the request came to
	endpoints bool                // containers are told where telemetry goes
	service   workload.Service

	patch           patch
	madeAnnotations bool // the pod had none, and the patch makes the map
	notes           []Note
	scratch         []byte
	explaining      bool
	explanation     []Line
}

func newWiring(e *Engine, p *pod, ns Namespace, owner workload.Owner) *wiring {
	w := &wiring{Engine: e, pod: p, namespace: ns.Name, owner: owner}
	if w.owner.Kind == "" {
		w.owner = ownerOf(p.Metadata)
	}
	w.layers = [...]injection.Layer{
		{Source: "namespace", Annotations: ns.Annotations},
		{Source: "pod", Annotations: p.Metadata.Annotations},
	}
	w.request, w.mistakes = injection.ParseRequest(e.defaults, w.layers[:]...)
	for _, refusal := range w.mistakes {
		w.note(Note{Reason: BadAnnotation, Subject: refusal.Setting, Detail: noteDetail(refusal)})
	}
	w.old, w.wired = ReadStatus(p.Metadata.Annotations)
	w.stale = w.wired && w.old.Config != e.hash
	w.status.Config = e.hash
	w.patch.json = make([]byte, 0, 4096)
	w.scratch = make([]byte, 0, 512)
	if p.Metadata == &noMetadata {
		w.patch.add("metadata")
		w.patch.json = append(w.patch.json, "{}"...)
		w.patch.end()
	}
	return w
}

func (w *wiring) note(n Note) {
	w.notes = append(w.notes, n)
	w.status.note(n)
}

func (w *wiring) explain(container, subject, value, rule, source string) {
	if w.explaining {
		w.explanation = append(w.explanation, Line{container, subject, value, rule, source})
	}
}

// noteDetail says in a note, which begins with "ignored", what was written where
// and what to use.
func noteDetail(r validate.Refusal) string {
	if r.Allowed == "" {
		return strconv.Quote(r.Value) + " of the " + r.Source + ": " + r.Problem
	}
	return strconv.Quote(r.Value) + " of the " + r.Source + ": use " + r.Allowed
}

// source tells, for an explanation, which layer gave a key its value.
func (w *wiring) source(key string) string {
	if !w.explaining {
		return ""
	}
	for i := len(w.layers) - 1; i >= 0; i-- {
		from := w.layers[i]
		bad := func(r validate.Refusal) bool { return r.Setting == key && r.Source == from.Source }
		if _, ok := from.Annotations[key]; ok && !slices.ContainsFunc(w.mistakes, bad) {
			return from.Source + " annotation " + key
		}
	}
	if _, ok := w.config.Defaults[key]; ok {
		return "config defaults " + key
	}
	return "default"
}

// current tells that an earlier wiring stands: what it did is not done again.
func (w *wiring) current() bool { return w.wired && !w.stale }

// chooseCollector settles where telemetry goes, or that the pod is skipped.
func (w *wiring) chooseCollector() (Reason, bool) {
	w.collector, w.endpoints = w.request.Collector, w.request.Collector != injection.CollectorNone
	if w.collector == injection.CollectorGateway && !w.hasGateway() {
		w.note(Note{Reason: NoGateway, Subject: injection.AnnotationCollector})
		w.collector = injection.CollectorSidecar
	}
	if w.collector != injection.CollectorSidecar {
		return "", false
	}
	switch {
	case w.pod.Spec.HostNetwork && !w.hasGateway():
		return HostNetwork, true
	case w.pod.Spec.HostNetwork:
		w.collector = injection.CollectorGateway
		w.note(Note{Reason: GatewayInstead})
	case !w.native && w.pod.Spec.RestartPolicy != "" && w.pod.Spec.RestartPolicy != "Always":
		w.withoutSidecar(Note{Reason: JobWithoutSidecar})
	default:
		if note, found := w.foreignCollector(); found {
			w.withoutSidecar(note)
		}
	}
	return "", false
}

func (w *wiring) withoutSidecar(why Note) {
	w.collector, w.endpoints = injection.CollectorNone, false
	w.note(why)
}

// hasGateway tells whether a gateway takes the protocol that was asked for.
func (w *wiring) hasGateway() bool { return w.gateway(w.request.Protocol) != "" }

func (w *wiring) gateway(p sidecarapi.Protocol) string {
	switch p {
	case sidecarapi.ProtocolGRPC:
		return w.config.Gateway.GRPCEndpoint
	case sidecarapi.ProtocolHTTP:
		return w.config.Gateway.HTTPEndpoint
	}
	return "" // a protocol that is hidden
}

// endpoint is where containers send telemetry over a protocol; "" for nowhere.
func (w *wiring) endpoint(p sidecarapi.Protocol) string {
	switch {
	case !w.endpoints:
		return ""
	case w.collector == injection.CollectorGateway:
		return w.gateway(p)
	case p == sidecarapi.ProtocolGRPC:
		return "http://127.0.0.1:4317"
	default:
		return "http://127.0.0.1:4318"
	}
}

// nameService finds the service's name by the strongest rule that has one. A
// container's own variable comes between the annotation and the rest; that is
// settled for each container.
func (w *wiring) nameService() {
	annotation := workload.Annotation{Value: w.request.ServiceName, From: w.request.ServiceNameFrom}
	w.service = workload.ServiceOf(annotation, w.config.ServiceNameLabels, w.pod.Metadata.Labels, w.owner)
}

// annotated reports whether the pod itself, not its namespace, names its service.
func (w *wiring) annotated() bool {
	return w.service.Rule == workload.ByAnnotation && w.service.From == "pod"
}

func (w *wiring) result() Result {
	action := Wired
	switch {
	case w.current() && w.patch.empty():
		return Result{Decision: Decision{Unchanged, AsAsked, w.notes}, Explanation: w.explanation}
	case w.current():
		action = Completed
	case w.stale:
		action = Rewired
	}
	w.writeStatus()
	reason := AsAsked
	for _, n := range w.notes {
		if n.Reason.Level() > Info {
			reason = Degraded
		}
	}
	return Result{Decision: Decision{action, reason, w.notes}, Patch: w.patch.bytes(), Explanation: w.explanation}
}

// escapeReferences keeps the kubelet from expanding what is not meant as a
// reference: in a variable's value "$$" stands for "$" (k8s.io/kubernetes,
// third_party/forked/golang/expansion), so "$(" in an annotation cannot pull a
// Secret's value into telemetry.
func escapeReferences(s string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	return strings.ReplaceAll(s, "$", "$$")
}
