package resources

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// Preview returns the objects, as JSON, that the controller would create for a
// StatefulSet, Secret or Service, or every mistake in its annotations.
func (c Config) Preview(namespace string, annotations map[string]string, manifest []byte) (objects [][]byte, mistakes []error) {
	source, err := readSource(manifest)
	if err != nil {
		return nil, []error{err}
	}
	source.SetNamespace(namespace)
	accounts, refused := c.AllowedOverrides.ParseServiceAccountAnnotations(annotations)
	target := Target{Source: SourceOf(source), Server: ServerOf(source), ServiceAccountAnnotations: accounts}
	request, refusals := backupapi.ParseSource(c.DefaultRequest(), target.Source, source.GetAnnotations())
	target.Request = request
	for _, refusal := range slices.Concat(refusals, refused, target.Check()) {
		mistakes = append(mistakes, refusal)
	}
	if len(mistakes) > 0 || !request.Enabled {
		return nil, mistakes
	}
	for _, o := range c.Objects(target) {
		content, err := Unstructured(o)
		if err != nil {
			return nil, []error{err}
		}
		text, err := json.Marshal(content.Object)
		if err != nil {
			return nil, []error{err}
		}
		objects = append(objects, text)
	}
	return objects, nil
}

// readSource reads a manifest, of a Secret only the metadata.
func readSource(manifest []byte) (Object, error) {
	var o Object
	var kind metav1.TypeMeta
	if err := json.Unmarshal(manifest, &kind); err != nil {
		return nil, fmt.Errorf("read the kind: %w", err)
	}
	switch backupapi.Kind(kind.Kind) {
	case backupapi.KindStatefulSet:
		o = &appsv1.StatefulSet{}
	case backupapi.KindService:
		o = &corev1.Service{}
	default:
		o = &metav1.PartialObjectMetadata{}
	}
	if err := json.Unmarshal(manifest, o); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind.Kind, err)
	}
	return o, nil
}
