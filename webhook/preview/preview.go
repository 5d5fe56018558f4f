// Package preview shows, without a cluster, what a cluster would hold for given
// manifests. The engine of the webhook runs on the pod templates of workloads and on
// Pods. Changes are made in the text of the manifests: everything else is printed
// byte for byte as it was read.
package preview

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/lint"
)

// Options are the settings of a preview.
type Options struct {
	Engine *inject.Engine
	// Namespace is the namespace of objects that name none.
	Namespace string
	// Explain collects where each value comes from.
	Explain bool
	// Generate returns the objects that controllers make; nil for none.
	Generate Generate
}

// Object is an object with pod templates, and the decision about one of them.
type Object struct {
	Where  string // file:line: kind/name
	Result inject.Result
	// Excluded is why the API server would not send a review; "" if it would.
	Excluded string
	// Uninspected is the path of containers that are in no pod template, so that they
	// are only wired in the cluster.
	Uninspected string

	workload, namespace, service string // for clashes of service names
}

// Wire changes the documents to what the cluster would hold and appends the objects
// that controllers would make. It returns the decisions and an error with all
// mistakes; the documents must not be used if there is an error.
func Wire(documents []*Document, options Options) ([]*Document, []Object, error) {
	w := wirer{options: options, namespaces: namespacesOf(documents), services: map[[2]string]string{}, exists: map[key]bool{}}
	for _, d := range documents {
		for _, o := range d.objects {
			w.exists[w.keyOf(o)] = true
		}
	}
	all := w.readLimits(documents)
	results := make([][]Object, len(documents))
	mistakes := make([]Mistakes, len(documents))
	parallel(len(documents), func(i int) { results[i], mistakes[i] = w.wireDocument(documents[i]) })
	for i, d := range documents {
		all = append(all, mistakes[i]...)
		w.objects = append(w.objects, results[i]...)
		for _, o := range d.objects {
			all = append(all, w.generate(o)...)
		}
	}
	w.noteClashes()
	return append(documents, w.generated...), w.objects, all.orNil()
}

// parallel calls f for each number below n, in as many goroutines as there are CPUs.
func parallel(n int, f func(i int)) {
	var group sync.WaitGroup
	var next atomic.Int64
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	group.Wait()
}

// Mistakes are errors in the input, one line each.
type Mistakes []error

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, err := range m {
		lines[i] = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return strings.Join(lines, "\n")
}

func (m Mistakes) orNil() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

type wirer struct {
	options    Options
	namespaces map[string]*object // nil if the input has no Namespace
	limits     map[string]*inject.Limits
	objects    []Object
	services   map[[2]string]string // the first workload of each namespace and service name
	exists     map[key]bool         // objects of the input and generated ones
	generated  []*Document
}

func namespacesOf(documents []*Document) map[string]*object {
	var namespaces map[string]*object
	for _, d := range documents {
		for _, o := range d.objects {
			if o.Kind != "Namespace" || o.APIVersion != "v1" {
				continue
			}
			if namespaces == nil {
				namespaces = map[string]*object{}
			}
			namespaces[o.Metadata.Name] = o
		}
	}
	return namespaces
}

// readLimits reads the LimitRanges and ResourceQuotas of the input.
func (w *wirer) readLimits(documents []*Document) (mistakes Mistakes) {
	objects := map[string]map[string][]byte{}
	for _, d := range documents {
		for _, o := range d.objects {
			if o.APIVersion != "v1" || o.Kind != "LimitRange" && o.Kind != "ResourceQuota" {
				continue
			}
			namespace := w.namespaceOf(o)
			if objects[namespace] == nil {
				objects[namespace] = map[string][]byte{}
			}
			objects[namespace][o.Kind+"/"+o.Metadata.Name] = o.raw
		}
	}
	w.limits = make(map[string]*inject.Limits, len(objects))
	for _, namespace := range slices.Sorted(maps.Keys(objects)) {
		limits, err := inject.ParseLimits(objects[namespace])
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("namespace %s: %w", namespace, err))
		}
		w.limits[namespace] = limits
	}
	return mistakes
}

// HasNamespace reports whether a document has a Namespace. Without one, all objects
// count as opted in.
func HasNamespace(documents []*Document) bool { return namespacesOf(documents) != nil }

// wireDocument decides about all templates of a document and changes its text. It
// must not change w: it runs for several documents at once.
func (w *wirer) wireDocument(d *Document) (results []Object, mistakes Mistakes) {
	defer func() { d.nodes = nil }()
	var changes []change
	for _, o := range d.objects {
		if len(o.templates) == 0 && len(o.uninspected) == 0 {
			continue
		}
		ns, excluded := w.namespace(o)
		if excluded != "" {
			results = append(results, Object{Where: o.where(), Excluded: excluded})
			continue
		}
		for _, path := range o.uninspected {
			results = append(results, Object{Where: o.where(), Uninspected: path})
		}
		for _, t := range o.templates {
			result, err := w.decide(o, t, ns)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %w", o.where(), err))
				continue
			}
			if result.Result.Patch != nil {
				changes = append(changes, change{o, t, result.Result.Patch})
			}
			results = append(results, result)
		}
	}
	if len(changes) == 0 || len(mistakes) > 0 {
		return results, mistakes
	}
	if err := d.rewrite(changes); err != nil {
		mistakes = append(mistakes, fmt.Errorf("%s: %w", changes[0].object.where(), err))
	}
	return results, mistakes
}

func (w *wirer) decide(o *object, t template, ns inject.Namespace) (Object, error) {
	decide := w.options.Engine.Template
	if w.options.Explain {
		decide = w.options.Engine.Explain
	}
	result, err := decide(t.raw, ns, o.owner())
	if err != nil {
		return Object{}, err
	}
	decided := Object{Where: o.where(), Result: result}
	if o.Kind != "Pod" {
		decided.Result.Notes = append(decided.Result.Notes, lint.MisplacedAnnotations(o.Metadata.Annotations)...)
		if result.Action != inject.Skipped {
			decided.workload = o.Kind + " " + o.name()
			decided.namespace, decided.service = ns.Name, w.options.Engine.ServiceName(t.raw, ns, o.owner())
		}
	}
	return decided, nil
}

// noteClashes adds a note to each workload that has the service name of an earlier
// one.
func (w *wirer) noteClashes() {
	for i := range w.objects {
		o := &w.objects[i]
		if o.service == "" {
			continue
		}
		key := [2]string{o.namespace, o.service}
		switch first, exists := w.services[key]; {
		case !exists:
			w.services[key] = o.workload
		case first != o.workload:
			o.Result.Notes = append(o.Result.Notes, inject.Note{Reason: inject.NameClash, Subject: first, Detail: o.service})
		}
	}
}

// namespace returns the defaults of the object's namespace, or why the API server
// would not send a review. If the input has no Namespace, all objects are opted in.
func (w *wirer) namespace(o *object) (ns inject.Namespace, excluded string) {
	name := w.namespaceOf(o)
	if w.namespaces == nil {
		return inject.Namespace{Name: name, Limits: w.limits[name]}, ""
	}
	n, ok := w.namespaces[name]
	switch {
	case !ok:
		return inject.Namespace{}, fmt.Sprintf("namespace %s is not in the input", name)
	case n.Metadata.Labels[injection.LabelWiring] != injection.WiringEnabled:
		return inject.Namespace{}, fmt.Sprintf("namespace %s is not labelled %s: %s", name, injection.LabelWiring, injection.WiringEnabled)
	}
	return inject.Namespace{Name: name, Annotations: n.Metadata.Annotations, Limits: w.limits[name]}, ""
}

func (w *wirer) namespaceOf(o *object) string {
	if o.Metadata.Namespace == "" {
		return w.options.Namespace
	}
	return o.Metadata.Namespace
}
