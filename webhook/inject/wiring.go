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

// wiring is the state of the work on one pod.
type wiring struct {
	engine    *Engine
	pod       *pod
	raw       []byte // the pod as JSON
	namespace string
	limits    *Limits
	anyUser   bool               // the platform assigns the user of containers
	layers    [2]injection.Layer // the layers of the request, for explanations
	refusals  []validate.Refusal
	owner     workload.Owner
	request   injection.Request

	previous    Status // recorded by an earlier wiring
	hasPrevious bool
	stale       bool // the earlier wiring used another configuration
	status      Status

	collector    injection.Collector // the collector that is used, after all exceptions
	setsEndpoint bool                // containers get an OTLP endpoint
	service      workload.Service
	ports        ports
	merged       bool     // Istio's agent serves the app's metrics
	resized      []string // what was changed of the sidecar's resources

	patch              patch
	createdAnnotations bool // the pod had no annotations and the patch adds the map
	notes              []Note
	scratch            []byte // a buffer for one list of attributes
	buffer             [512]byte
	withExplanation    bool
	explanation        []Line
}

func newWiring(e *Engine, p *pod, ns Namespace, owner workload.Owner) *wiring {
	w := &wiring{engine: e, pod: p, ports: defaultPorts, namespace: ns.Name, limits: ns.Limits, owner: owner}
	if w.owner.Kind == "" {
		w.owner = ownerOf(p.Metadata)
	}
	w.anyUser = e.config.Sidecar.ArbitraryUser || ns.Annotations[uidRangeAnnotation] != ""
	w.layers = [...]injection.Layer{
		{Source: injection.SourceNamespace, Annotations: ns.Annotations},
		{Source: injection.SourcePod, Annotations: p.Metadata.Annotations},
	}
	w.request, w.refusals = e.config.AllowedOverrides.ParseRequest(e.defaults, w.layers[:]...)
	for _, refusal := range w.refusals {
		reason := BadAnnotation
		switch {
		case refusal.Forbidden:
			reason = NotAllowed
		case refusal.Setting == injection.AnnotationRedact:
			reason = BadRedaction
		}
		w.note(Note{Reason: reason, Subject: refusal.Setting, Detail: noteDetail(refusal)})
	}
	w.previous, w.hasPrevious = ReadStatus(p.Metadata.Annotations)
	w.stale = w.hasPrevious && w.previous.Config != e.hash
	w.status.Version, w.status.Config = e.config.Version, e.hash
	w.patch.json = make([]byte, 0, 4096)
	w.scratch = w.buffer[:0]
	for _, list := range [...][]container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			list[i].foreign = e.isForeign(&list[i])
		}
	}
	if p.Metadata == &emptyMetadata {
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
	if w.withExplanation {
		w.explanation = append(w.explanation, Line{container, subject, value, rule, source})
	}
}

// noteDetail returns the detail of a note about an ignored annotation: the value, its
// source and the allowed values.
func noteDetail(r validate.Refusal) string {
	if r.Value == validate.Hidden {
		return "of the " + r.Source + ": " + r.Problem
	}
	if r.Allowed == "" {
		return strconv.Quote(r.Value) + " of the " + r.Source + ": " + r.Problem
	}
	return strconv.Quote(r.Value) + " of the " + r.Source + ": use " + r.Allowed
}

// source returns the layer that set the value of a key, for an explanation.
func (w *wiring) source(key string) string {
	if !w.withExplanation {
		return ""
	}
	for i := len(w.layers) - 1; i >= 0; i-- {
		from := w.layers[i]
		bad := func(r validate.Refusal) bool { return r.Setting == key && r.Source == from.Source }
		if _, ok := from.Annotations[key]; ok && !slices.ContainsFunc(w.refusals, bad) {
			return from.Source + " annotation " + key
		}
	}
	if _, ok := w.engine.config.Defaults[key]; ok {
		return "config defaults " + key
	}
	return "default"
}

// upToDate reports whether an earlier wiring used the present configuration: its
// results stay as they are.
func (w *wiring) upToDate() bool { return w.hasPrevious && !w.stale }

// chooseCollector decides where telemetry goes. It returns a reason and true if the
// pod is skipped instead.
func (w *wiring) chooseCollector() (Reason, bool) {
	w.collector, w.setsEndpoint = w.request.Collector, w.request.Collector != injection.CollectorNone
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
	case !w.engine.native && w.pod.Spec.RestartPolicy != "" && w.pod.Spec.RestartPolicy != "Always":
		w.withoutSidecar(Note{Reason: JobWithoutSidecar})
	default:
		if note, found := w.foreignCollector(); found {
			w.withoutSidecar(note)
			break
		}
		if note, found := w.choosePorts(); found {
			w.withoutSidecar(note)
			break
		}
		if note, refused := w.fitSidecar(); refused {
			w.gatewayInstead(note)
		}
	}
	return "", false
}

// gatewayInstead uses the gateway if there is one, else no collector.
func (w *wiring) gatewayInstead(why Note) {
	detail := "no endpoint is set"
	if w.hasGateway() {
		detail = "the gateway is used"
	}
	if why.Detail != "" {
		detail = why.Detail + "; " + detail
	}
	why.Detail = detail
	if !w.hasGateway() {
		w.withoutSidecar(why)
		return
	}
	w.collector = injection.CollectorGateway
	w.note(why)
}

func (w *wiring) withoutSidecar(why Note) {
	w.collector, w.setsEndpoint = injection.CollectorNone, false
	w.note(why)
}

// hasGateway reports whether a gateway is configured for the requested protocol.
func (w *wiring) hasGateway() bool { return w.gateway(w.request.Protocol) != "" }

func (w *wiring) gateway(p sidecarapi.Protocol) string {
	switch p {
	case sidecarapi.ProtocolGRPC:
		return w.engine.config.Gateway.GRPCEndpoint
	case sidecarapi.ProtocolHTTP:
		return w.engine.config.Gateway.HTTPEndpoint
	}
	return "" // the protocol is unknown
}

// endpoint returns the URL that containers send telemetry to, or "" if they get none.
func (w *wiring) endpoint(p sidecarapi.Protocol) string {
	switch {
	case !w.setsEndpoint:
		return ""
	case w.collector == injection.CollectorGateway:
		return w.gateway(p)
	case p == sidecarapi.ProtocolGRPC:
		return w.loopback(w.ports.grpc)
	default:
		return w.loopback(w.ports.http)
	}
}

// loopback returns the URL of a port of the sidecar. The default ones cost no
// allocation.
func (*wiring) loopback(port int) string {
	switch port {
	case sidecarapi.PortOTLPGRPC:
		return "http://127.0.0.1:4317"
	case sidecarapi.PortOTLPHTTP:
		return "http://127.0.0.1:4318"
	}
	return "http://127.0.0.1:" + itoa(port)
}

// uidRangeAnnotation is written by OpenShift on each Namespace. Its constraint
// restricted-v2 only admits users within the range, and assigns one if none is set.
const uidRangeAnnotation = "openshift.io/sa.scc.uid-range"

// nameService finds the name of the pod's service. A container's own variable is
// weaker than the annotation and stronger than the other rules; chooseServiceName
// handles it for each container.
func (w *wiring) nameService() {
	annotation := workload.Annotation{Value: w.request.ServiceName, From: w.request.ServiceNameFrom}
	w.service = workload.ServiceOf(annotation, w.engine.config.ServiceNameLabels, w.pod.Metadata.Labels, w.owner)
}

// annotated reports whether the pod itself, not its namespace, names its service.
func (w *wiring) annotated() bool {
	return w.service.Rule == workload.ByAnnotation && w.service.From == injection.SourcePod
}

func (w *wiring) result() Result {
	action := Wired
	switch {
	case w.upToDate() && w.patch.empty():
		return Result{Decision: Decision{Unchanged, AsAsked, w.notes}, Explanation: w.explanation}
	case w.upToDate():
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

// escapeReferences doubles each "$", because the kubelet expands $(NAME) in the
// value of a variable and reads "$$" as "$" (k8s.io/kubernetes,
// third_party/forked/golang/expansion). Without it, "$(" in an annotation could
// copy the value of a Secret into telemetry.
func escapeReferences(s string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	return strings.ReplaceAll(s, "$", "$$")
}
