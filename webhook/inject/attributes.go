package inject

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api/attribute"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// element is one element of the container's own OTEL_RESOURCE_ATTRIBUTES.
type element struct {
	key  string // decoded; "" for a reference that stands for pairs
	text string // in the form in which it is written
}

// readAttributes reads the elements that the user wrote into
// OTEL_RESOURCE_ATTRIBUTES and repairs them where possible. In a variable that an
// earlier wiring wrote, these are the keys that its status lists, and references.
func (e *environment) readAttributes() {
	if e.found[varResourceAttributes] == 0 {
		return
	}
	v := e.variable(varResourceAttributes)
	if v.isReference() {
		e.attributesAreHidden = e.isUserSet(varResourceAttributes)
		return
	}
	for text := range strings.SplitSeq(v.Value, ",") {
		key, text, err := attribute.Repair(text)
		switch {
		case err != nil:
			e.wiring.note(Note{Reason: BadAttribute, Container: e.container.Name, Subject: variableNames[varResourceAttributes], Detail: err.Error()})
		case text == "" || key != "" && e.hasPrevious && !slices.Contains(e.previous.Attributes, key):
		default:
			e.userAttributes = append(e.userAttributes, element{key, text})
		}
	}
}

// attributesNameService reports whether the user's attributes have, or can have, a
// service.name.
func (e *environment) attributesNameService() bool {
	return e.attributesAreHidden ||
		slices.ContainsFunc(e.userAttributes, func(u element) bool { return u.key == "" || u.key == "service.name" })
}

// chooseAttributes merges our attributes and the user's by key. The user's value
// wins, and the last one of duplicates. Ours are written first, because SDKs use
// the last value of a key and a reference of the user can expand to any key.
func (e *environment) chooseAttributes() {
	if e.attributesAreHidden {
		e.noteVariable(HiddenAttributes, varResourceAttributes)
		e.keep(varResourceAttributes)
		return
	}
	list := e.appendOurs(e.wiring.scratch[:0])
	for i, u := range e.userAttributes {
		if u.key != "" && slices.ContainsFunc(e.userAttributes[i+1:], func(later element) bool { return later.key == u.key }) {
			continue
		}
		if len(list) > 0 {
			list = append(list, ',')
		}
		list = append(list, u.text...)
		if u.key != "" {
			e.status.Attributes = append(e.status.Attributes, u.key)
		}
	}
	e.wiring.scratch = list
	e.set(varResourceAttributes, string(list), "merged by key", "the container's own variable, annotations, the pod, config")
}

// appendOurs appends the attributes from the pod, its annotations and the
// configuration, except those whose key the user set.
func (e *environment) appendOurs(list []byte) []byte {
	add := func(key, value string) {
		if value != "" && !slices.ContainsFunc(e.userAttributes, func(u element) bool { return u.key == key }) {
			list = attribute.Append(list, 0, attribute.KeyValue{Key: key, Value: value})
		}
	}
	if !e.wanted[varServiceName] && !e.isUserSet(varServiceName) {
		add("service.name", escapeReferences(e.wiring.service.Name)) // a reference can still set another one
	}
	e.wiring.podAttributes(add)
	given := e.wiring.request.ResourceAttributes
	for _, a := range [...]attribute.KeyValue{
		{Key: "service.version", Value: imageVersion(e.container.Image)},
		{Key: "service.instance.id", Value: e.wiring.namespace + ".$(" + sidecarapi.EnvPodName + ")." + e.container.Name},
		{Key: "k8s.container.name", Value: e.container.Name},
	} {
		if !has(given, a.Key) {
			add(a.Key, a.Value)
		}
	}
	return list
}

// podAttributes calls add with the attributes that all containers share. An
// attribute from the annotation replaces ours with the same key.
func (w *wiring) podAttributes(add func(key, value string)) {
	given := w.request.ResourceAttributes
	for _, a := range [...]attribute.KeyValue{
		{Key: "service.namespace", Value: w.namespace},
		{Key: "deployment.environment.name", Value: escapeReferences(w.engine.config.DeploymentEnvironment)},
		{Key: "k8s.cluster.name", Value: escapeReferences(w.engine.config.ClusterName)},
		{Key: "k8s.namespace.name", Value: w.namespace},
		{Key: w.owner.Attribute(), Value: w.owner.Name},
		{Key: "k8s.pod.name", Value: "$(" + sidecarapi.EnvPodName + ")"},
		{Key: "k8s.pod.uid", Value: "$(" + sidecarapi.EnvPodUID + ")"},
		{Key: "k8s.node.name", Value: "$(" + sidecarapi.EnvNodeName + ")"},
	} {
		if a.Key != "" && !has(given, a.Key) {
			add(a.Key, a.Value)
		}
	}
	for _, a := range given {
		add(a.Key, escapeReferences(a.Value))
	}
}

func has(attributes []attribute.KeyValue, key string) bool {
	return slices.ContainsFunc(attributes, func(a attribute.KeyValue) bool { return a.Key == key })
}

// imageVersion returns the version in an image reference: tag@digest, or the one of
// them that it has. The OpenTelemetry operator computes service.version so.
func imageVersion(image string) string {
	repository := imageRepository(image)
	return strings.TrimLeft(image[len(repository):], ":@")
}
