package preview

import (
	"encoding/json"
	"fmt"

	backupapi "github.com/nova/novawire/api/backup"

	"sigs.k8s.io/yaml"
)

// Generate returns, as JSON, the objects that controllers make for a StatefulSet, Secret
// or Service, or every mistake that keeps them from it. The annotations are those of the
// namespace, nil if it is not part of the input.
type Generate func(namespace string, annotations map[string]string, source []byte) ([][]byte, []error)

// requestsBackup lists the API versions of the kinds that can request backups.
var requestsBackup = map[backupapi.Kind]string{backupapi.KindStatefulSet: "apps/v1", backupapi.KindSecret: "v1", backupapi.KindService: "v1"}

// key identifies an object in a cluster.
type key struct{ apiVersion, kind, namespace, name string }

func (w *wirer) keyOf(o *object) key {
	return key{o.APIVersion, o.Kind, w.namespaceOf(o), o.Metadata.Name}
}

// generate appends the objects that controllers make for an object. Objects that the
// input already has stay: the input is a preview, or comes from a cluster.
func (w *wirer) generate(o *object) (mistakes Mistakes) {
	if o.APIVersion != requestsBackup[backupapi.Kind(o.Kind)] || w.options.Generate == nil {
		return nil
	}
	var annotations map[string]string
	if ns := w.namespaces[w.namespaceOf(o)]; ns != nil {
		if ns.Metadata.Labels[backupapi.LabelNamespace] == backupapi.NamespaceDisabled {
			return nil // backup needs no wiring, but a namespace can refuse it
		}
		annotations = ns.Metadata.Annotations
	}
	objects, wrong := w.options.Generate(w.namespaceOf(o), annotations, o.raw)
	for _, err := range wrong {
		mistakes = append(mistakes, fmt.Errorf("%s: %w", o.where(), err))
	}
	for _, raw := range objects {
		d, err := generatedDocument(o, raw)
		if err != nil {
			return append(mistakes, fmt.Errorf("%s: %w", o.where(), err))
		}
		if k := w.keyOf(d.objects[0]); !w.exists[k] {
			w.exists[k] = true
			w.generated = append(w.generated, d)
		}
	}
	return mistakes
}

func generatedDocument(source *object, raw []byte) (*Document, error) {
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(content)
	if err != nil {
		return nil, err
	}
	d := &Document{file: source.document.file, line: source.position(), lead: documentMarker, text: text, generated: true}
	if d.parse(); len(d.mistakes) > 0 || len(d.objects) != 1 {
		return nil, fmt.Errorf("read the generated object: %w", d.mistakes)
	}
	return d, nil
}
