package inject

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// The variables that injection knows, in the order in which it writes them:
// what others refer to comes first, because the kubelet expands $(NAME) only to
// variables before.
const (
	podName = iota
	podUID
	nodeName
	endpoint
	protocol
	serviceName
	resourceAttributes
	propagators
	sampler
	samplerArg
	variableCount
)

var variableNames = [variableCount]string{
	podName:            sidecarapi.EnvPodName,
	podUID:             sidecarapi.EnvPodUID,
	nodeName:           sidecarapi.EnvNodeName,
	endpoint:           "OTEL_EXPORTER_OTLP_ENDPOINT",
	protocol:           "OTEL_EXPORTER_OTLP_PROTOCOL",
	serviceName:        "OTEL_SERVICE_NAME",
	resourceAttributes: "OTEL_RESOURCE_ATTRIBUTES",
	propagators:        "OTEL_PROPAGATORS",
	sampler:            "OTEL_TRACES_SAMPLER",
	samplerArg:         "OTEL_TRACES_SAMPLER_ARG",
}

var signals = [...]string{"TRACES", "METRICS", "LOGS"}

// identityFields are the downward API's fields behind the first variables.
var identityFields = [...]string{podName: "metadata.name", podUID: "metadata.uid", nodeName: "spec.nodeName"}

// environment is the work on one container's variables.
type environment struct {
	*wiring
	container *container
	list      string // of the pod's spec: containers, initContainers
	index     int
	old       ContainerStatus
	owned     bool // old is there: what it does not list as kept is ours

	found  [variableCount]int // place among the known plus one; the last of a name counts
	signal bool               // a signal has an endpoint of its own without a protocol

	elements         []element // the user's own resource attributes
	hiddenAttributes bool      // they come from a reference

	want   [variableCount]bool
	value  [variableCount]string
	status ContainerStatus
}

func (e *environment) wire() {
	e.find()
	e.readAttributes()
	e.chooseIdentity()
	e.chooseEndpoint()
	e.chooseServiceName()
	e.chooseAttributes()
	e.choosePropagation()
	e.chooseSampling()
	e.write()
}

// find looks every variable up in one pass.
func (e *environment) find() {
	var endpoints, protocols int
	for i := range e.container.Env.known {
		name := e.container.Env.known[i].Name
		if known := slices.Index(variableNames[:], name); known >= 0 {
			e.found[known] = i + 1
			continue
		}
		signal, ok := strings.CutPrefix(name, "OTEL_EXPORTER_OTLP_")
		if bit := slices.Index(signals[:], strings.TrimSuffix(signal, "_ENDPOINT")); ok && bit >= 0 {
			endpoints |= 1 << bit
		}
		if bit := slices.Index(signals[:], strings.TrimSuffix(signal, "_PROTOCOL")); ok && bit >= 0 {
			protocols |= 1 << bit
		}
	}
	e.signal = endpoints&^protocols != 0
}

// users tells that the variable is there and the user's own.
func (e *environment) users(v int) bool {
	return e.found[v] > 0 && (!e.owned || slices.Contains(e.old.Kept, variableNames[v]))
}

// keep leaves a variable of the user's as it is.
func (e *environment) keep(v int) {
	e.status.Kept = append(e.status.Kept, variableNames[v])
	e.explain(e.container.Name, variableNames[v], e.current(v).Value, "kept", "the container's own variable")
}

func (e *environment) current(v int) variable { return e.container.Env.known[e.found[v]-1] }

func (e *environment) set(v int, value, rule, source string) {
	e.want[v], e.value[v] = true, value
	e.explain(e.container.Name, variableNames[v], value, rule, source)
}

func (e *environment) noteVariable(r Reason, v int) {
	e.note(Note{Reason: r, Container: e.container.Name, Subject: variableNames[v]})
}

func (e *environment) chooseIdentity() {
	for v := range identityFields {
		e.want[v] = true
	}
}

// chooseEndpoint sets endpoint and protocol together, or neither: a protocol
// that is not the endpoint's loses everything.
func (e *environment) chooseEndpoint() {
	ownEndpoint, ownProtocol := e.users(endpoint), e.users(protocol)
	if ownEndpoint {
		e.keep(endpoint)
	}
	if ownProtocol {
		e.keep(protocol)
	}
	wanted := e.request.Protocol
	if ownProtocol {
		wanted = e.userProtocol()
	}
	switch target := e.endpoint(wanted); {
	case ownEndpoint || !e.endpoints:
	case e.signal && !ownProtocol:
		e.noteVariable(SignalEndpoint, endpoint)
	case ownProtocol && target == "":
		e.noteVariable(HiddenProtocol, endpoint)
	case ownProtocol:
		e.set(endpoint, target, "protocol", "the container's own variable")
	default:
		e.set(endpoint, target, "collector "+string(e.collector), e.source(injection.AnnotationCollector))
		e.set(protocol, string(wanted), "protocol", e.source(injection.AnnotationProtocol))
	}
}

// userProtocol reads the user's protocol. Where it is not plain to see, the
// sidecar still has an answer, because each of its ports takes both protocols;
// of a gateway nothing is known, and "" has no endpoint there.
func (e *environment) userProtocol() sidecarapi.Protocol {
	switch v := e.current(protocol); {
	case !v.isReference() && v.Value == string(sidecarapi.ProtocolGRPC):
		return sidecarapi.ProtocolGRPC
	case !v.isReference() && strings.HasPrefix(v.Value, "http/"):
		return sidecarapi.ProtocolHTTP
	case e.collector == injection.CollectorSidecar:
		return sidecarapi.ProtocolGRPC
	}
	return ""
}

// chooseServiceName: the pod's annotation, the container's own variable, then
// what the pod's labels and owner say. A service.name among the container's own
// attributes, seen or hidden, is the user's word too; OTEL_SERVICE_NAME would
// override it.
func (e *environment) chooseServiceName() {
	own := e.users(serviceName)
	switch {
	case own && e.annotated():
		e.noteVariable(OverriddenName, serviceName)
	case own:
		e.keep(serviceName)
		return
	case e.attributesNameService() && !e.annotated():
		return
	}
	if e.service.Name != "" {
		e.set(serviceName, escapeReferences(e.service.Name), string(e.service.Rule), e.service.From)
	}
}

func (e *environment) choosePropagation() {
	if e.users(propagators) {
		e.keep(propagators)
	} else if len(e.config.Propagators) > 0 {
		e.set(propagators, strings.Join(e.config.Propagators, ","), "config", "propagators")
	}
}

// chooseSampling sets sampler and argument together, or neither: an argument
// means nothing to another sampler.
func (e *environment) chooseSampling() {
	if e.users(sampler) || e.users(samplerArg) {
		for _, v := range [...]int{sampler, samplerArg} {
			if e.users(v) {
				e.keep(v)
			}
		}
		return
	}
	e.set(sampler, "parentbased_traceidratio", "trace sampling", e.source(injection.AnnotationTraceSampling))
	e.set(samplerArg, e.request.TraceSampling, "trace sampling", e.source(injection.AnnotationTraceSampling))
}

// write turns the choices into operations: first what changes in place, while
// indexes are those of the pod as it came, then what goes, from the end, then
// what is new.
func (e *environment) write() {
	if e.container.Env.count == 0 {
		e.writeList()
		return
	}
	for v := range variableCount {
		if e.want[v] && e.found[v] > 0 && v > nodeName {
			e.change(v)
		}
	}
	for _, i := range e.surplus() {
		e.patch.remove("spec", e.list, itoa(e.index), "env", itoa(i))
	}
	front := 0
	for v := range variableCount {
		if !e.want[v] || e.found[v] > 0 {
			continue
		}
		position := "-"
		if v <= nodeName {
			position = itoa(front)
			front++
		}
		e.patch.add("spec", e.list, itoa(e.index), "env", position)
		e.appendVariable(v)
		e.patch.end()
	}
}

func (e *environment) writeList() {
	e.patch.add("spec", e.list, itoa(e.index), "env")
	separator := byte('[')
	for v := range variableCount {
		if e.want[v] {
			e.patch.json = append(e.patch.json, separator)
			e.appendVariable(v)
			separator = ','
		}
	}
	e.patch.json = append(e.patch.json, ']')
	e.patch.end()
}

// change gives a variable that is there its value. One that is a reference is
// replaced whole: value beside valueFrom is invalid.
func (e *environment) change(v int) {
	now := e.current(v)
	index := itoa(now.index)
	switch {
	case now.isReference():
		e.patch.replace("spec", e.list, itoa(e.index), "env", index)
		e.appendVariable(v)
	case now.Value == e.value[v]:
		return
	default:
		e.patch.add("spec", e.list, itoa(e.index), "env", index, "value")
		e.patch.json = appendQuoted(e.patch.json, e.value[v])
	}
	e.patch.end()
}

// surplus are the indexes of variables of an older wiring that have no place in
// this one, the last first.
func (e *environment) surplus() []int {
	if !e.owned {
		return nil
	}
	var indexes []int
	for v := range variableCount {
		if e.found[v] > 0 && !e.want[v] && !e.users(v) {
			indexes = append(indexes, e.current(v).index)
		}
	}
	slices.Sort(indexes)
	slices.Reverse(indexes)
	return indexes
}

func (e *environment) appendVariable(v int) {
	if v <= nodeName {
		e.patch.json = appendFieldVariable(e.patch.json, variableNames[v], identityFields[v])
		return
	}
	e.patch.json = appendVariable(e.patch.json, variableNames[v], e.value[v])
}
