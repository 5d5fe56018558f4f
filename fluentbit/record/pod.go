package record

import (
	"strings"
	"sync"

	"github.com/nova/novawire/fluentbit/msgpack"
	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/internal/workload"
)

// Pod is the source of lines, according to Fluent Bit's kubernetes filter, to a
// description or to the tag.
type Pod struct {
	Namespace, Name, Container, Node string
	// Service is the name of the pod's service, as injection sets it.
	Service string
	// Undecided means that nobody knows yet whether the pod is wired.
	Undecided bool
	// Destination is the result of Pods.Destination.
	Destination any

	member    fragment // the member "kubernetes" of messages, with a leading comma
	isUnknown bool     // nothing names a pod
	refresh   int64    // milliseconds since 1970 when the pod is to be described again; 0 for never
}

// Known reports whether the pod's name is known.
func (p *Pod) Known() bool { return !p.isUnknown }

// Description is what a source other than Fluent Bit knows of a pod.
type Description struct {
	Service   string
	Undecided bool
}

// Pods caches the pods that lines come from. Any number of decoders may share it.
type Pods struct {
	// Destination returns where a pod's lines go. The pod keeps the result.
	Destination func(*Pod) any
	// Describe returns what is known of a container's pod, or false. It may be nil.
	Describe func(namespace, pod, container string) (Description, bool)
	// ServiceNameLabels are the pod labels that name a service, the best first.
	ServiceNameLabels []string
	// Node is the name of the node, for lines without one.
	Node string
	// AllMetadata repeats all of the filter's metadata in each message, not only
	// the names.
	AllMetadata bool
	// Redact redacts all of the metadata; nil for no rules.
	Redact *redact.Redactor

	mu    sync.Mutex
	known map[string]*Pod // by the source that names the pod
}

// source is what a record says about its pod: the maps that the kubernetes filter
// adds, in MessagePack, or else the tag.
type source struct {
	kubernetes, namespace []byte
	tag                   string
}

func (s source) key() string {
	if s.kubernetes == nil {
		return s.tag
	}
	return string(s.kubernetes) + string(s.namespace)
}

// These bound what messages repeat of a pod. Kubernetes allows 256 KiB of
// annotations and names of 253 characters.
const (
	maxShownMetadata = 300_000
	maxShownName     = 300
)

// maxPods is the number of pods that are cached. A node runs a few hundred; a pod
// that was dropped is read again.
const maxPods = 4096

// refreshAfter is when a pod without a final description is described again, in
// milliseconds.
const refreshAfter = 10_000

// Redacted returns how often each rule has redacted in metadata, which is once for a pod.
func (p *Pods) Redacted() (counts redact.Counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Redact != nil {
		counts = p.Redact.Counts
	}
	return counts
}

// of returns the pod of a source. now is in milliseconds since 1970.
func (p *Pods) of(s source, now int64) *Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := s.key()
	known := p.known[key]
	if known != nil && (known.refresh == 0 || now < known.refresh) {
		return known
	}
	if known != nil && p.Redact != nil { // its metadata is counted
		defer func(counts redact.Counts) { p.Redact.Counts = counts }(p.Redact.Counts)
	}
	if p.known == nil || len(p.known) >= maxPods {
		p.known = map[string]*Pod{}
	}
	pod := p.read(s, now)
	p.known[key] = pod
	return pod
}

func (p *Pods) read(s source, now int64) *Pod {
	pod := &Pod{Node: p.Node}
	if s.kubernetes != nil {
		pod.fromFilter(s, p.ServiceNameLabels)
	}
	if pod.Name == "" {
		pod.fromTag(s.tag)
	}
	pod.isUnknown = pod.Name == "" && pod.Namespace == ""
	p.describe(pod, now)
	if pod.Service == "" {
		pod.Service = pod.Name
	}
	var w writer
	if text, _ := appendValue(nil, s.kubernetes, maxValueDepth); p.AllMetadata && s.kubernetes != nil && len(text) < maxShownMetadata {
		w.json([]byte(`,"kubernetes":`))
		d := Decoder{Redact: p.Redact}
		w.json(d.redactedJSON(text))
	} else {
		pod.show(&w)
	}
	pod.member = fragment{w.buf, w.size}
	pod.Destination = p.Destination(pod)
	return pod
}

func (p *Pods) describe(pod *Pod, now int64) {
	if p.Describe == nil || pod.isUnknown {
		return
	}
	d, ok := p.Describe(pod.Namespace, pod.Name, pod.Container)
	if ok && d.Service != "" {
		pod.Service = d.Service
	}
	if pod.Undecided = d.Undecided; !ok || d.Undecided {
		pod.refresh = now + refreshAfter
	}
}

// show writes the names with the keys of the filter.
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

// fromFilter reads the maps that Fluent Bit's kubernetes filter adds to records.
func (p *Pod) fromFilter(s source, serviceNameLabels []string) {
	var owners []workload.OwnerReference
	var labels, annotations, namespaceAnnotations map[string]string
	forEachMember(s.kubernetes, func(key string, value []byte) {
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
			owners = readOwners(value)
		}
	})
	forEachMember(s.namespace, func(key string, value []byte) {
		if key == "annotations" {
			namespaceAnnotations = textMembers(value)
		}
	})
	owner := workload.OwnerFromName(p.Name, labels)
	if len(owners) > 0 {
		owner = workload.OwnerOf(workload.Pod{Name: p.Name, Labels: labels, Owners: owners})
	}
	p.Service = workload.ServiceOf(workload.AnnotationOf(namespaceAnnotations, annotations), serviceNameLabels, labels, owner).Name
}

// fromTag reads the name of a log file from a tag such as
// kube.var.log.containers.POD_NAMESPACE_CONTAINER-ID.log.
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
	p.Service = workload.OwnerFromName(p.Name, nil).Name
}

// forEachMember calls visit for each member of a map whose key is text.
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
