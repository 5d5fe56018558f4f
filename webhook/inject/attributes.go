package inject

import (
	"slices"
	"strings"

	"github.com/nova/novawire/api/attribute"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// element is one element of the container's own OTEL_RESOURCE_ATTRIBUTES.
type element struct {
	key  string // decoded; "" where a reference stands for pairs
	text string // as it is written again
}

// readAttributes reads what the user wrote into OTEL_RESOURCE_ATTRIBUTES, each
// element repaired where that is possible. In a variable of an older wiring the
// user's are those that it recorded, and references.
func (e *environment) readAttributes() {
	if e.found[resourceAttributes] == 0 {
		return
	}
	v := e.current(resourceAttributes)
	if v.isReference() {
		e.hiddenAttributes = e.users(resourceAttributes)
		return
	}
	for text := range strings.SplitSeq(v.Value, ",") {
		key, text, err := attribute.Repair(text)
		switch {
		case err != nil:
			e.note(Note{Reason: BadAttribute, Container: e.container.Name, Subject: variableNames[resourceAttributes], Detail: err.Error()})
		case text == "" || key != "" && e.owned && !slices.Contains(e.old.Attributes, key):
		default:
			e.elements = append(e.elements, element{key, text})
		}
	}
}

// attributesNameService tells that the user's attributes hold a service.name,
// or may hold one, unseen.
func (e *environment) attributesNameService() bool {
	return e.hiddenAttributes ||
		slices.ContainsFunc(e.elements, func(u element) bool { return u.key == "" || u.key == "service.name" })
}

// chooseAttributes merges ours and the user's by key: the user's word wins, and
// of two of theirs the last. Ours come first, so that a reference among the
// user's, which may stand for any pairs, still has the last word.
func (e *environment) chooseAttributes() {
	if e.hiddenAttributes {
		e.noteVariable(HiddenAttributes, resourceAttributes)
		e.keep(resourceAttributes)
		return
	}
	list := e.appendOurs(e.scratch[:0])
	for i, u := range e.elements {
		if u.key != "" && slices.ContainsFunc(e.elements[i+1:], func(later element) bool { return later.key == u.key }) {
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
	e.scratch = list
	e.set(resourceAttributes, string(list), "merged by key", "the container's own variable, annotations, the pod, config")
}

// appendOurs writes the attributes that the pod, its annotations and the
// configuration give, without those that the user's own elements have.
func (e *environment) appendOurs(list []byte) []byte {
	add := func(key, value string) {
		if value != "" && !slices.ContainsFunc(e.elements, func(u element) bool { return u.key == key }) {
			list = attribute.Append(list, 0, attribute.KeyValue{Key: key, Value: value})
		}
	}
	if !e.want[serviceName] && !e.users(serviceName) {
		add("service.name", escapeReferences(e.service.Name)) // a reference may still hold another
	}
	e.podAttributes(add)
	given := e.request.ResourceAttributes
	for _, a := range [...]attribute.KeyValue{
		{Key: "service.version", Value: imageVersion(e.container.Image)},
		{Key: "service.instance.id", Value: e.namespace + ".$(" + sidecarapi.EnvPodName + ")." + e.container.Name},
		{Key: "k8s.container.name", Value: e.container.Name},
	} {
		if !has(given, a.Key) {
			add(a.Key, a.Value)
		}
	}
	return list
}

// podAttributes gives the attributes that are the same for every container, the
// annotation's instead of ours where it has the same key.
func (w *wiring) podAttributes(add func(key, value string)) {
	given := w.request.ResourceAttributes
	for _, a := range [...]attribute.KeyValue{
		{Key: "service.namespace", Value: w.namespace},
		{Key: "deployment.environment.name", Value: escapeReferences(w.config.DeploymentEnvironment)},
		{Key: "k8s.cluster.name", Value: escapeReferences(w.config.ClusterName)},
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

// imageVersion is the tag of an image reference or, without one, its digest.
func imageVersion(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	last := name[strings.LastIndexByte(name, '/')+1:]
	if _, tag, ok := strings.Cut(last, ":"); ok && tag != "" {
		return tag
	}
	return digest
}
