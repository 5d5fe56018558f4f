package record

import (
	"strings"
	"sync"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/fluentbit/msgpack"
)

// Pod is where lines come from, as Fluent Bit's kubernetes filter or the tag
// tells, and where they go.
type Pod struct {
	Namespace, Name, Container, Node string
	// Service is what injection calls the pod's service.
	Service string
	// Destination is what the settings' Locate made of the pod.
	Destination any

	member    fragment // the member "kubernetes" of messages, with a comma before it
	isUnknown bool     // nothing is known of a pod
}

// Known tells whether anything says which pod this is.
func (p *Pod) Known() bool { return !p.isUnknown }

// Pods knows the pods that lines came from. It is for any number of decoders.
type Pods struct {
	// Destination says where a pod's lines go; its result becomes the pod's Place.
	Destination func(*Pod) any
	// Node names the node for lines that do not tell.
	Node string
	// AllMetadata shows all that the filter knows of a pod in each message, and not
	// just its names.
	AllMetadata bool

	mu    sync.Mutex
	known map[string]*Pod // by the filter's map as it came, or by tag
}

// mostShown and mostName bound what messages repeat of a pod: Kubernetes' own
// bounds are 256 KiB of annotations, and 253 characters of a name.
const (
	maxShownMetadata = 300_000
	maxShownName     = 300
)

// maxPods is how many pods are remembered: a node has a few hundred, and a
// pod that is forgotten is read again.
const maxPods = 4096

// of returns the pod of the filter's map or, without one, of the tag.
func (p *Pods) of(kubernetes []byte, tag string) *Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var known *Pod
	if kubernetes != nil {
		known = p.known[string(kubernetes)]
	} else {
		known = p.known[tag]
	}
	if known != nil {
		return known
	}
	pod, key := p.read(kubernetes, tag), tag
	if kubernetes != nil {
		key = string(kubernetes)
	}
	if p.known == nil || len(p.known) >= maxPods {
		p.known = map[string]*Pod{}
	}
	p.known[key] = pod
	return pod
}

func (p *Pods) read(kubernetes []byte, tag string) *Pod {
	pod := &Pod{Node: p.Node}
	if kubernetes != nil {
		pod.fromFilter(kubernetes)
	}
	if pod.Name == "" {
		pod.fromTag(tag)
	}
	if pod.isUnknown = pod.Name == "" && pod.Namespace == ""; pod.Service == "" {
		pod.Service = pod.Name
	}
	var w writer
	if text, _ := appendValue(nil, kubernetes, maxValueDepth); p.AllMetadata && kubernetes != nil && len(text) < maxShownMetadata {
		w.json([]byte(`,"kubernetes":`))
		w.json(text)
	} else {
		pod.show(&w)
	}
	pod.member = fragment{w.buf, w.size}
	pod.Destination = p.Destination(pod)
	return pod
}

// show writes the names, as the filter calls them.
func (p *Pod) show(w *writer) {
	separator := `,"kubernetes":{`
	for _, m := range [...]struct{ key, value string }{
		{"namespace_name", p.Namespace}, {"pod_name", p.Name}, {"container_name", p.Container}, {"host", p.Node},
	} {
		if m.value == "" {
			continue
		}
		w.json([]byte(separator + `"` + m.key + `":`))
		text, _ := validUTF8([]byte(m.value[:min(len(m.value), maxShownName)]), nil)
		w.str(text)
		separator = ","
	}
	if separator == "," {
		w.json([]byte("}"))
	}
}

// fromFilter reads the map that Fluent Bit's kubernetes filter adds.
func (p *Pod) fromFilter(kubernetes []byte) {
	var o owner
	var labels, annotations map[string]string
	forEachMember(kubernetes, func(key string, value []byte) {
		text, _, _ := msgpack.Text(value)
		switch key {
		case "namespace_name":
			p.Namespace = string(text)
		case "pod_name":
			p.Name = string(text)
		case "container_name":
			p.Container = string(text)
		case "host":
			if len(text) > 0 {
				p.Node = string(text)
			}
		case "labels":
			labels = textMembers(value)
		case "annotations":
			annotations = textMembers(value)
		case "ownerReferences", "owner_references":
			o = readOwner(value)
		}
	})
	if p.Service = annotations[injection.AnnotationServiceName]; p.Service == "" {
		p.Service = workload(p.Name, o, labels)
	}
}

// fromTag reads the name of the file that a container's runtime writes to, as
// in kube.var.log.containers.POD_NAMESPACE_CONTAINER-ID.log.
func (p *Pod) fromTag(tag string) {
	_, file, ok := strings.Cut(tag, ".containers.")
	parts := strings.Split(strings.TrimSuffix(file, ".log"), "_")
	if !ok || len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return
	}
	p.Name, p.Namespace = parts[0], parts[1]
	if dash := strings.LastIndexByte(parts[2], '-'); dash > 0 {
		p.Container = parts[2][:dash]
	}
	p.Service = workload(p.Name, owner{}, nil)
}

// forEachMember calls visit with each pair of a map whose key is text, and its value.
func forEachMember(b []byte, visit func(key string, value []byte)) {
	h, rest := msgpack.Next(b)
	if h.Kind != msgpack.Map {
		return
	}
	for range h.N {
		key, value, isText := msgpack.Text(rest)
		if !isText {
			value, _ = msgpack.Skip(rest)
		}
		next, ok := msgpack.Skip(value)
		if !ok {
			return
		}
		if isText {
			visit(string(key), value[:len(value)-len(next)])
		}
		rest = next
	}
}

func textMembers(b []byte) map[string]string {
	all := map[string]string{}
	forEachMember(b, func(key string, value []byte) {
		if text, _, ok := msgpack.Text(value); ok {
			all[key] = string(text)
		}
	})
	return all
}
