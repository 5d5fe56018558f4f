package inject

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// The variables that injection knows, in the order in which it writes them. The
// ones that others refer to come first, because the kubelet expands $(NAME) only to
// variables that are defined earlier.
const (
	varPodName = iota
	varPodUID
	varNodeName
	varEndpoint
	varProtocol
	varServiceName
	varResourceAttributes
	varPropagators
	varSampler
	varSamplerArg
	variableCount
)

var variableNames = [variableCount]string{
	varPodName:            sidecarapi.EnvPodName,
	varPodUID:             sidecarapi.EnvPodUID,
	varNodeName:           sidecarapi.EnvNodeName,
	varEndpoint:           "OTEL_EXPORTER_OTLP_ENDPOINT",
	varProtocol:           "OTEL_EXPORTER_OTLP_PROTOCOL",
	varServiceName:        "OTEL_SERVICE_NAME",
	varResourceAttributes: "OTEL_RESOURCE_ATTRIBUTES",
	varPropagators:        "OTEL_PROPAGATORS",
	varSampler:            "OTEL_TRACES_SAMPLER",
	varSamplerArg:         "OTEL_TRACES_SAMPLER_ARG",
}

// Sampler is the value of OTEL_TRACES_SAMPLER.
const Sampler = "parentbased_traceidratio"

var signals = [...]string{"TRACES", "METRICS", "LOGS"}

// identityFields are the fields of the downward API that fill the first variables.
var identityFields = [...]string{varPodName: "metadata.name", varPodUID: "metadata.uid", varNodeName: "spec.nodeName"}

// environment is the state of the work on one container's variables.
type environment struct {
	wiring      *wiring
	container   *container
	list        string // the field of the pod's spec: containers or initContainers
	index       int
	previous    ContainerStatus // recorded by an earlier wiring
	hasPrevious bool            // variables that previous does not list as kept are ours

	found             [variableCount]int // index among the known variables plus one; of duplicates, the last
	hasSignalEndpoint bool               // a single signal has its own endpoint without a protocol

	userAttributes      []element // the resource attributes that the user set
	attributesAreHidden bool      // they come from a reference

	wanted [variableCount]bool
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

// find locates every known variable in one pass.
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
	e.hasSignalEndpoint = endpoints&^protocols != 0
}

// isUserSet reports whether the variable is there and was set by the user.
func (e *environment) isUserSet(v int) bool {
	return e.found[v] > 0 && (!e.hasPrevious || slices.Contains(e.previous.Kept, variableNames[v]))
}

// keep records that a variable of the user stays as it is.
func (e *environment) keep(v int) {
	e.status.Kept = append(e.status.Kept, variableNames[v])
	e.wiring.explain(e.container.Name, variableNames[v], e.variable(v).Value, "kept", "the container's own variable")
}

func (e *environment) variable(v int) variable { return e.container.Env.known[e.found[v]-1] }

func (e *environment) set(v int, value, rule, source string) {
	e.wanted[v], e.value[v] = true, value
	e.wiring.explain(e.container.Name, variableNames[v], value, rule, source)
}

func (e *environment) noteVariable(r Reason, v int) {
	e.wiring.note(Note{Reason: r, Container: e.container.Name, Subject: variableNames[v]})
}

func (e *environment) chooseIdentity() {
	for v := range identityFields {
		e.wanted[v] = true
	}
}

// chooseEndpoint sets endpoint and protocol together or not at all: with the wrong
// protocol for an endpoint all telemetry is lost.
func (e *environment) chooseEndpoint() {
	ownEndpoint, ownProtocol := e.isUserSet(varEndpoint), e.isUserSet(varProtocol)
	if ownEndpoint {
		e.keep(varEndpoint)
	}
	if ownProtocol {
		e.keep(varProtocol)
	}
	wanted := e.wiring.request.Protocol
	if ownProtocol {
		wanted = e.userProtocol()
	}
	switch target := e.wiring.endpoint(wanted); {
	case ownEndpoint || !e.wiring.setsEndpoint:
	case e.hasSignalEndpoint && !ownProtocol:
		e.noteVariable(SignalEndpoint, varEndpoint)
	case ownProtocol && target == "":
		e.noteVariable(HiddenProtocol, varEndpoint)
	case ownProtocol:
		e.set(varEndpoint, target, "protocol", "the container's own variable")
	default:
		e.set(varEndpoint, target, "collector "+string(e.wiring.collector), e.wiring.source(injection.AnnotationCollector))
		e.set(varProtocol, string(wanted), "protocol", e.wiring.source(injection.AnnotationProtocol))
	}
}

// userProtocol returns the protocol that the user set. If the value is hidden in a
// reference, any protocol does for the sidecar, because each of its ports accepts
// both. For a gateway the result is "", which has no endpoint.
func (e *environment) userProtocol() sidecarapi.Protocol {
	switch v := e.variable(varProtocol); {
	case !v.isReference() && v.Value == string(sidecarapi.ProtocolGRPC):
		return sidecarapi.ProtocolGRPC
	case !v.isReference() && strings.HasPrefix(v.Value, "http/"):
		return sidecarapi.ProtocolHTTP
	case e.wiring.collector == injection.CollectorSidecar:
		return sidecarapi.ProtocolGRPC
	}
	return ""
}

// chooseServiceName applies the rules in this order: the pod's annotation, the
// container's own variable, the pod's labels and owner. If the container's own
// attributes have, or can have, a service.name, OTEL_SERVICE_NAME is not set
// because it would override it.
func (e *environment) chooseServiceName() {
	own := e.isUserSet(varServiceName)
	switch {
	case own && e.wiring.annotated():
		e.noteVariable(OverriddenName, varServiceName)
	case own:
		e.keep(varServiceName)
		return
	case e.attributesNameService() && !e.wiring.annotated():
		return
	}
	if e.wiring.service.Name != "" {
		e.set(varServiceName, escapeReferences(e.wiring.service.Name), string(e.wiring.service.Rule), e.wiring.service.From)
	}
}

func (e *environment) choosePropagation() {
	if e.isUserSet(varPropagators) {
		e.keep(varPropagators)
	} else if len(e.wiring.engine.config.Propagators) > 0 {
		e.set(varPropagators, strings.Join(e.wiring.engine.config.Propagators, ","), "config", "propagators")
	}
}

// chooseSampling sets sampler and argument together or not at all: an argument is
// only valid for the sampler that it was written for.
func (e *environment) chooseSampling() {
	if e.isUserSet(varSampler) || e.isUserSet(varSamplerArg) {
		for _, v := range [...]int{varSampler, varSamplerArg} {
			if e.isUserSet(v) {
				e.keep(v)
			}
		}
		return
	}
	e.set(varSampler, Sampler, "trace sampling", e.wiring.source(injection.AnnotationTraceSampling))
	e.set(varSamplerArg, e.wiring.request.TraceSampling, "trace sampling", e.wiring.source(injection.AnnotationTraceSampling))
}

// write turns the choices into patch operations. Changes in place come first, while
// the indexes of the original pod are valid; then removals, the last index first;
// then additions.
func (e *environment) write() {
	if e.container.Env.count == 0 {
		e.writeList()
		return
	}
	for v := range variableCount {
		if e.wanted[v] && e.found[v] > 0 && v > varNodeName {
			e.update(v)
		}
	}
	for _, i := range e.surplus() {
		e.wiring.patch.remove("spec", e.list, itoa(e.index), "env", itoa(i))
	}
	front := 0
	for v := range variableCount {
		if !e.wanted[v] || e.found[v] > 0 {
			continue
		}
		position := "-"
		if v <= varNodeName {
			position = itoa(front)
			front++
		}
		e.wiring.patch.add("spec", e.list, itoa(e.index), "env", position)
		e.appendVariable(v)
		e.wiring.patch.end()
	}
}

func (e *environment) writeList() {
	e.wiring.patch.add("spec", e.list, itoa(e.index), "env")
	separator := byte('[')
	for v := range variableCount {
		if e.wanted[v] {
			e.wiring.patch.json = append(e.wiring.patch.json, separator)
			e.appendVariable(v)
			separator = ','
		}
	}
	e.wiring.patch.json = append(e.wiring.patch.json, ']')
	e.wiring.patch.end()
}

// update writes the value of a variable that the container has. A variable with
// valueFrom is replaced as a whole, because value and valueFrom exclude each other.
func (e *environment) update(v int) {
	present := e.variable(v)
	index := itoa(present.index)
	switch {
	case present.isReference():
		e.wiring.patch.replace("spec", e.list, itoa(e.index), "env", index)
		e.appendVariable(v)
	case present.Value == e.value[v]:
		return
	default:
		e.wiring.patch.add("spec", e.list, itoa(e.index), "env", index, "value")
		e.wiring.patch.json = appendQuoted(e.wiring.patch.json, e.value[v])
	}
	e.wiring.patch.end()
}

// surplus returns the indexes of variables that an earlier wiring set and this one
// does not want, in descending order.
func (e *environment) surplus() []int {
	if !e.hasPrevious {
		return nil
	}
	var indexes []int
	for v := range variableCount {
		if e.found[v] > 0 && !e.wanted[v] && !e.isUserSet(v) {
			indexes = append(indexes, e.variable(v).index)
		}
	}
	slices.Sort(indexes)
	slices.Reverse(indexes)
	return indexes
}

func (e *environment) appendVariable(v int) {
	if v <= varNodeName {
		e.wiring.patch.json = appendFieldVariable(e.wiring.patch.json, variableNames[v], identityFields[v])
		return
	}
	e.wiring.patch.json = appendVariable(e.wiring.patch.json, variableNames[v], e.value[v])
}
