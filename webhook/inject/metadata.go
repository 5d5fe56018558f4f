package inject

import (
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/api/injection"
)

// pair is a label or annotation that the pod should have.
type pair struct {
	key, value string
	rule, from string // from is the annotation that changes the value
}

// wireMetadata sets labels and scrape annotations. Those of an up-to-date earlier
// wiring stay as they are.
func (w *wiring) wireMetadata() {
	if w.upToDate() {
		w.status.Kept = w.previous.Kept
		return
	}
	labels, annotations := w.scrape()
	if w.request.Logs {
		labels = append(labels, pair{injection.LabelLogging, injection.LoggingStructured, "logs", injection.AnnotationLogs})
	}
	w.setAll("labels", w.pod.Metadata.Labels, labels, ownedLabels...)
	w.setAll("annotations", w.pod.Metadata.Annotations, annotations, ownedAnnotations...)
}

// setAll writes the wanted pairs of one map, labels or annotations. Values that the
// user set stay. Of the known keys, those that an earlier wiring set and that are
// not wanted now are removed.
func (w *wiring) setAll(name string, present map[string]string, wanted []pair, known ...string) {
	for _, key := range known {
		_, exists := present[key]
		if exists && w.isOurs(key) && !slices.ContainsFunc(wanted, func(p pair) bool { return p.key == key }) {
			w.patch.remove("metadata", name, key)
		}
	}
	if len(present) == 0 && len(wanted) > 0 {
		w.createMap(name)
	}
	for _, p := range wanted {
		value, exists := present[p.key]
		switch {
		case exists && !w.isOurs(p.key):
			w.status.Kept = append(w.status.Kept, p.key)
			if value != p.value {
				w.note(Note{Reason: UserLabel, Subject: p.key, Detail: value})
			}
		case !exists || value != p.value:
			w.patch.add("metadata", name, p.key)
			w.patch.json = appendQuoted(w.patch.json, p.value)
			w.patch.end()
			w.explain("", p.key, p.value, p.rule, w.source(p.from))
		}
	}
}

// createMap adds the labels or annotations of a pod that has none.
func (w *wiring) createMap(name string) {
	w.patch.add("metadata", name)
	w.patch.json = append(w.patch.json, "{}"...)
	w.patch.end()
	w.createdAnnotations = w.createdAnnotations || name == "annotations"
}

// isOurs reports whether an existing label or annotation was set by an earlier wiring.
func (w *wiring) isOurs(key string) bool {
	return w.hasPrevious && !slices.Contains(w.previous.Kept, key)
}

// writeStatus writes the status annotation.
func (w *wiring) writeStatus() {
	text, err := json.Marshal(w.status)
	if err != nil {
		text = []byte(`{"config":"` + w.engine.hash + `"}`) // a name is not UTF-8: keep at least the hash
	}
	if len(w.pod.Metadata.Annotations) == 0 && !w.createdAnnotations {
		w.createMap("annotations")
	}
	w.patch.add("metadata", "annotations", injection.AnnotationStatus)
	w.patch.json = appendQuoted(w.patch.json, text)
	w.patch.end()
	w.explain("", injection.AnnotationStatus, string(text), "status", "this program")
}
