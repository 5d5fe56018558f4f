package preview

import (
	"encoding/json"
	"fmt"

	backupapi "github.com/nova/novawire/api/backup"

	"sigs.k8s.io/yaml"
)

// Generate tells, as JSON, the objects that controllers make of a StatefulSet,
// or every mistake that keeps them from it.
type Generate func(namespace string, statefulSet []byte) ([][]byte, []error)

// key names an object in a cluster.
type key struct{ apiVersion, kind, namespace, name string }

func (w *wirer) keyOf(o *object) key {
	return key{o.APIVersion, o.Kind, w.namespaceOf(o), o.Metadata.Name}
}

// generate adds what controllers make of an object. What the input has already
// stays: it is a preview of a preview, or the cluster's.
func (w *wirer) generate(o *object) (mistakes Mistakes) {
	if o.Kind != "StatefulSet" || o.APIVersion != "apps/v1" || w.options.Generate == nil {
		return nil
	}
	if ns := w.namespaces[w.namespaceOf(o)]; ns != nil && ns.Metadata.Labels[backupapi.LabelNamespace] == backupapi.NamespaceDisabled {
		return nil
	}
	made, wrong := w.options.Generate(w.namespaceOf(o), o.raw)
	for _, err := range wrong {
		mistakes = append(mistakes, fmt.Errorf("%s: %w", o.where(), err))
	}
	for _, raw := range made {
		d, err := generated(o.document.file, raw)
		if err != nil {
			return append(mistakes, fmt.Errorf("%s: %w", o.where(), err))
		}
		if k := w.keyOf(d.found[0]); !w.there[k] {
			w.there[k] = true
			d.index = o.document.index
			w.made = append(w.made, d)
		}
	}
	return mistakes
}

func generated(file string, raw []byte) (*Document, error) {
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(content)
	if err != nil {
		return nil, err
	}
	d := &Document{file: file, text: text, made: true}
	return d, d.parse()
}
