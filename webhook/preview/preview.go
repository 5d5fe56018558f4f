// Package preview shows, without a cluster, what a cluster would hold of given
// manifests: the engine of the webhook runs on the pod templates of workloads
// and on bare pods. It reads and prints documents; what it does not know it
// prints as it came, octet for octet.
package preview

import (
	"fmt"
	"strings"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/lint"
)

// Options are what a preview needs beside the documents.
type Options struct {
	Engine *inject.Engine
	// Namespace is that of objects which name none.
	Namespace string
	// Explain collects where each value comes from.
	Explain bool
	// Generate adds what controllers make; nil adds nothing.
	Generate Generate
}

// Object is a workload that was looked at.
type Object struct {
	Where  string // file:document: kind/name
	Result inject.Result
	// Left tells why the cluster would not ask the webhook about it; "" where it
	// would.
	Left string
}

// Wire changes the documents to what the cluster would hold, adds what
// controllers would make, and tells what was decided for each workload. On a
// mistake it tells all of them and no document is to be used.
func Wire(documents []*Document, options Options) ([]*Document, []Object, error) {
	w := wirer{options: options, namespaces: namespacesOf(documents), services: map[[2]string]string{}, there: map[key]bool{}}
	var all []*object
	for _, d := range documents {
		all = append(all, d.objects()...)
	}
	for _, o := range all {
		w.there[w.keyOf(o)] = true
	}
	var mistakes Mistakes
	for _, o := range all {
		if err := w.wire(o); err != nil {
			mistakes = append(mistakes, err...)
		}
	}
	return append(documents, w.made...), w.objects, mistakes.orNil()
}

// Mistakes are one line each.
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
	namespaces map[string]*object   // nil where the input has none
	services   map[[2]string]string // who has a service name, by namespace
	objects    []Object
	there      map[key]bool // what the input has, and what was added
	made       []*Document
}

func namespacesOf(documents []*Document) map[string]*object {
	var namespaces map[string]*object
	for _, d := range documents {
		for _, o := range d.objects() {
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

func (w *wirer) wire(o *object) Mistakes {
	wrong := func(err error) Mistakes { return Mistakes{fmt.Errorf("%s: %w", o.where(), err)} }
	path, ok := templatePath(o.APIVersion, o.Kind)
	if !ok {
		return nil
	}
	if mistakes := w.generate(o); len(mistakes) > 0 { // backup needs no wiring
		return mistakes
	}
	ns, left := w.namespace(o)
	if left != "" {
		w.objects = append(w.objects, Object{Where: o.where(), Left: left})
		return nil
	}
	template, raw, err := o.template(path)
	if err != nil {
		return wrong(err)
	}
	decide := w.options.Engine.Template
	if w.options.Explain {
		decide = w.options.Engine.Explain
	}
	result, err := decide(raw, ns, o.owner())
	if err != nil {
		return wrong(err)
	}
	if err := applyPatch(template, result.Patch); err != nil {
		return wrong(fmt.Errorf("apply patch: %w", err))
	}
	if result.Patch != nil {
		o.document.changed = true
	}
	if o.Kind != "Pod" {
		result.Notes = append(result.Notes, lint.MisplacedAnnotations(o.Metadata.Annotations)...)
	}
	if o.Kind != "Pod" && result.Action != inject.Skipped {
		w.clashes(&result, o, ns, raw)
	}
	w.objects = append(w.objects, Object{Where: o.where(), Result: result})
	return nil
}

// clashes notes a workload of the input, before this one, that reports as the
// same service.
func (w *wirer) clashes(result *inject.Result, o *object, ns inject.Namespace, template []byte) {
	service := w.options.Engine.ServiceName(template, ns, o.owner())
	if service == "" {
		return
	}
	first, taken := w.services[[2]string{ns.Name, service}]
	if taken {
		result.Notes = append(result.Notes, inject.Note{Reason: inject.NameClash, Subject: first, Detail: service})
		return
	}
	w.services[[2]string{ns.Name, service}] = o.Kind + " " + o.name()
}

// namespace gives the defaults of the object's namespace, or why the API server
// would not call the webhook. Input without any Namespace is taken as opted in.
func (w *wirer) namespace(o *object) (inject.Namespace, string) {
	name := w.namespaceOf(o)
	if w.namespaces == nil {
		return inject.Namespace{Name: name}, ""
	}
	ns, ok := w.namespaces[name]
	switch {
	case !ok:
		return inject.Namespace{}, fmt.Sprintf("namespace %s is not in the input", name)
	case ns.Metadata.Labels[injection.LabelWiring] != injection.WiringEnabled:
		return inject.Namespace{}, fmt.Sprintf("namespace %s is not labelled %s: %s", name, injection.LabelWiring, injection.WiringEnabled)
	}
	return inject.Namespace{Name: name, Annotations: ns.Metadata.Annotations}, ""
}

func (w *wirer) namespaceOf(o *object) string {
	if o.Metadata.Namespace == "" {
		return w.options.Namespace
	}
	return o.Metadata.Namespace
}

// templatePath tells where a kind has its pod template.
func templatePath(apiVersion, kind string) ([]string, bool) {
	group, _, _ := strings.Cut(apiVersion, "/")
	switch kind {
	case "Pod":
		return nil, apiVersion == "v1"
	case "ReplicationController":
		return []string{"spec", "template"}, apiVersion == "v1"
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return []string{"spec", "template"}, group == "apps"
	case "Rollout":
		return []string{"spec", "template"}, group == "argoproj.io"
	case "Job":
		return []string{"spec", "template"}, group == "batch"
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}, group == "batch"
	}
	return nil, false
}
