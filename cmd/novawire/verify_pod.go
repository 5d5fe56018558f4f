package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/webhook/inject"
)

// verdict is the result of a verification.
type verdict string

const (
	verified           verdict = "verified"
	otherConfiguration verdict = "other-configuration" // it cannot be made again without the one of then
	otherVersion       verdict = "other-version"       // it differs, but another version wired the pod
	podChanged         verdict = "changed"             // it differs
	notWired           verdict = "not-wired"
	noTemplate         verdict = "no-template"
)

// verification is what `explain --verify -o json` prints of one pod.
type verification struct {
	Namespace string  `json:"namespace"`
	Pod       string  `json:"pod"`
	Verdict   verdict `json:"verdict"`
	Text      string  `json:"text"`
	// Version, Configuration and Collector are what the pod's status annotation records.
	Version       string `json:"version,omitempty"`
	Configuration string `json:"configuration,omitempty"`
	Collector     string `json:"collector,omitempty"`
	// Template is where the template was read.
	Template    string       `json:"template,omitempty"`
	Differences []difference `json:"differences,omitempty"`
}

// difference is a field of the pod that is not as the engine makes it.
type difference struct {
	Field string `json:"field"`
	Want  string `json:"want"` // "" if there should be none
	Got   string `json:"got"`  // "" if there is none
}

// verifyPod makes the wiring of a pod again, from the parts that its template describes and
// the rest of the pod, which others may have written, and compares.
func verifyPod(engine *inject.Engine, raw, template []byte, ns inject.Namespace) (v verification, err error) {
	var pod, from document
	if err := json.Unmarshal(raw, &pod); err != nil {
		return v, fmt.Errorf("decode the pod: %w", err)
	}
	if err := json.Unmarshal(template, &from); err != nil {
		return v, fmt.Errorf("decode the template: %w", err)
	}
	status, wired := inject.ReadStatus(pod.texts("metadata", "annotations"))
	v = verification{Namespace: ns.Name, Pod: pod.text("metadata", "name"), Version: status.Version, Configuration: status.Config, Collector: string(status.Collector)}
	if !wired {
		v.Verdict, v.Text = notWired, "the pod has no valid annotation "+injection.AnnotationStatus
		return v, nil
	}
	if hash := engine.HashIn(ns.Name); status.Config != hash {
		v.Verdict, v.Text = otherConfiguration, fmt.Sprintf("the pod was wired with the configuration %s, this one is %s: name the file of then with --config", status.Config, hash)
		return v, nil
	}
	ns.Limits = status.Replay(ns.Limits)
	expected, err := pod.rewired(engine, from, ns)
	if err != nil {
		return v, err
	}
	v.Differences = compareWired(expected, pod, from)
	another := status.Version != engine.Version()
	switch {
	case len(v.Differences) == 0 && another:
		v.Verdict, v.Text = verified, fmt.Sprintf("version %s makes the same of the template as version %s, which wired the pod", named(engine.Version()), named(status.Version))
	case len(v.Differences) == 0:
		v.Verdict, v.Text = verified, "the pod is as its template and the configuration make it"
	case another:
		v.Verdict, v.Text = otherVersion, fmt.Sprintf("version %s wired the pod, and this is version %s: use the program of that version", named(status.Version), named(engine.Version()))
	default:
		v.Verdict, v.Text = podChanged, "something changed the pod, at its admission behind the webhook or after it, or the template"
	}
	return v, nil
}

func named(version string) string {
	if version == "" {
		return "(none)"
	}
	return version
}

// rewired returns the pod as the engine makes it: what the engine owns is first put back to
// what the template says.
func (d document) rewired(engine *inject.Engine, template document, ns inject.Namespace) (expected document, err error) {
	input := d.clone()
	labels, annotations := inject.OwnedMetadata()
	input.restoreMap(template, labels, "metadata", "labels")
	input.restoreMap(template, annotations, "metadata", "annotations")
	status, _ := inject.ReadStatus(d.texts("metadata", "annotations"))
	for _, list := range containerLists {
		input.restoreContainers(template, list, status)
	}
	raw, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("encode the pod: %w", err)
	}
	result, err := engine.Pod(raw, ns)
	if err != nil {
		return nil, err
	}
	if result.Patch != nil {
		patch, err := jsonpatch.DecodePatch(result.Patch)
		if err == nil {
			raw, err = patch.Apply(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("apply the engine's patch: %w", err)
		}
	}
	return expected, json.Unmarshal(raw, &expected)
}

// restoreMap sets the keys of a map to the values of the template.
func (d document) restoreMap(template document, keys []string, path ...string) {
	values, wanted := d.texts(path...), template.texts(path...)
	for _, key := range keys {
		delete(values, key)
		if value, ok := wanted[key]; ok {
			values[key] = value
		}
	}
	if len(values) == 0 {
		d.set(nil, path...)
		return
	}
	d.set(asAny(values), path...)
}

// restoreContainers sets the sidecar, and the variables that the engine writes, to those of
// the template. Containers of others have no template; they keep the variables that the
// status says were theirs.
func (d document) restoreContainers(template document, list string, status inject.Status) {
	var restored []any
	for _, c := range d.containers(list) {
		wanted := template.container(list, c.name())
		switch {
		case c.name() == sidecarapi.ContainerName && wanted == nil:
			continue
		case c.name() == sidecarapi.ContainerName:
			c = wanted
		case wanted == nil:
			c.restoreVariables(c.withVariables(status.KeptIn(c.name())))
		default:
			c.restoreVariables(wanted)
		}
		restored = append(restored, map[string]any(c))
	}
	if restored == nil {
		d.set(nil, "spec", list)
		return
	}
	d.set(restored, "spec", list)
}

// withVariables returns a container with the named variables alone.
func (d document) withVariables(names []string) document {
	var kept []any
	for _, v := range d.list("env") {
		if slices.Contains(names, document(v).name()) {
			kept = append(kept, v)
		}
	}
	return document{"env": kept}
}

func (d document) restoreVariables(template document) {
	owned, wanted := inject.OwnedVariables(), template.byName("env")
	var restored []any
	for _, v := range d.list("env") {
		name := document(v).name()
		if slices.Contains(owned, name) {
			if v = wanted[name]; v == nil {
				continue
			}
		}
		restored = append(restored, v)
	}
	present := d.byName("env")
	for _, v := range template.list("env") {
		if name := document(v).name(); slices.Contains(owned, name) && present[name] == nil {
			restored = append(restored, v)
		}
	}
	if restored == nil {
		d.set(nil, "env")
		return
	}
	d.set(restored, "env")
}

// compareWired returns what differs in the parts that the engine writes.
func compareWired(expected, pod, template document) (all differences) {
	labels, annotations := inject.OwnedMetadata()
	for _, part := range []struct {
		field string
		keys  []string
	}{{"labels", labels}, {"annotations", annotations}} {
		want, got := expected.texts("metadata", part.field), pod.texts("metadata", part.field)
		for _, key := range part.keys {
			if key != injection.AnnotationStatus && want[key] != got[key] {
				all.add("metadata."+part.field+"."+key, text(want, key), text(got, key))
			}
		}
	}
	all.compareStatus(expected, pod, template)
	for _, list := range containerLists {
		wanted := expected.byName("spec", list)
		for _, c := range pod.containers(list) {
			field := "spec." + list + "." + c.name()
			switch want := document(wanted[c.name()]); {
			case c.name() == sidecarapi.ContainerName && want == nil:
				all.add(field, nil, "a container")
			case c.name() == sidecarapi.ContainerName:
				all.compareSidecar(field, want, c, pod)
			case template.container(list, c.name()) != nil:
				all.compareVariables(field, want, c, inject.OwnedVariables())
			}
		}
		if c := wanted[sidecarapi.ContainerName]; c != nil && pod.container(list, sidecarapi.ContainerName) == nil {
			all.add("spec."+list+"."+sidecarapi.ContainerName, "a container", nil)
		}
	}
	return all
}

type differences []difference

func (d *differences) add(field string, want, got any) {
	show := func(v any) string {
		switch v := v.(type) {
		case nil:
			return ""
		case string:
			return v
		}
		text, _ := json.Marshal(v) // it was decoded from JSON
		return string(text)
	}
	*d = append(*d, difference{field, show(want), show(got)})
}

// compareStatus compares what the status annotation says. The version and the containers of
// others may differ, and the policy decides as the engine does.
func (d *differences) compareStatus(expected, pod, template document) {
	want, _ := inject.ReadStatus(expected.texts("metadata", "annotations"))
	got, _ := inject.ReadStatus(pod.texts("metadata", "annotations"))
	if got.By == inject.ByPolicy {
		got.By = ""
	}
	for _, s := range []*inject.Status{&want, &got} {
		s.Version = ""
		s.Containers = slices.DeleteFunc(s.Containers, func(c inject.ContainerStatus) bool {
			return template.container("containers", c.Name) == nil && template.container("initContainers", c.Name) == nil
		})
		slices.Sort(s.Notes)
	}
	if !reflect.DeepEqual(want, got) {
		d.add("metadata.annotations."+injection.AnnotationStatus, want, got)
	}
}

// compareVariables compares the named variables of a container.
func (d *differences) compareVariables(field string, want, got document, names []string) {
	wanted, present := want.byName("env"), got.byName("env")
	for _, name := range names {
		w, p := wanted[name], present[name]
		switch {
		case w == nil && p == nil:
		case w == nil:
			d.add(field+".env."+name, nil, p["value"])
		case p == nil:
			d.add(field+".env."+name, w["value"], nil)
		default:
			d.compare(field+".env."+name, w, p, "apiVersion")
		}
	}
}

// compareSidecar compares the whole sidecar, but for what the API server adds to every container.
func (d *differences) compareSidecar(field string, want, got, pod document) {
	names := slices.Collect(maps.Keys(want.byName("env")))
	for name := range got.byName("env") {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	d.compareVariables(field, want, got, names)
	w, g := maps.Clone(want), maps.Clone(got)
	delete(w, "env")
	delete(g, "env")
	if w["resources"] == nil { // the LimitRanger's
		delete(g, "resources")
	}
	g.dropToken(pod)
	for key, value := range map[string]string{"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"} {
		if g[key] == value {
			delete(g, key)
		}
	}
	d.compare(field, map[string]any(w), map[string]any(g))
}

// dropToken removes the mount of the service account's token from a container. Another mount
// could replace the program.
func (d document) dropToken(pod document) {
	volumes := pod.byName("spec", "volumes")
	var others []any
	for _, mount := range d.list("volumeMounts") {
		name := document(mount).name()
		token := map[string]any{"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
		if !reflect.DeepEqual(mount, token) || !strings.HasPrefix(name, "kube-api-access-") || volumes[name]["projected"] == nil {
			others = append(others, mount)
		}
	}
	if others == nil {
		d.set(nil, "volumeMounts")
		return
	}
	d.set(others, "volumeMounts")
}

// compare compares two values. Members with the given names may be added.
func (d *differences) compare(field string, want, got any, added ...string) {
	w, isMap := want.(map[string]any)
	g, both := got.(map[string]any)
	if !isMap || !both {
		if !reflect.DeepEqual(want, got) && !sameAmount(field, want, got) {
			d.add(field, want, got)
		}
		return
	}
	keys := slices.Sorted(maps.Keys(w))
	for key := range g {
		if _, known := w[key]; !known && !slices.Contains(added, key) && !(strings.Contains(field, ".resources.") && key != "cpu" && key != "memory") {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		d.compare(field+"."+key, w[key], g[key], added...)
	}
}

// sameAmount reports whether two quantities of resources are the same: the API server writes
// 1024Mi as 1Gi.
func sameAmount(field string, want, got any) bool {
	w, isText := want.(string)
	g, both := got.(string)
	if !isText || !both || !strings.Contains(field, ".resources.") {
		return false
	}
	a, errWant := resource.ParseQuantity(w)
	b, errGot := resource.ParseQuantity(g)
	return errWant == nil && errGot == nil && a.Cmp(b) == 0
}

func text(values map[string]string, key string) any {
	if value, ok := values[key]; ok {
		return value
	}
	return nil
}
