package resources

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// Preview returns the objects, as JSON, that the controller would create for a
// StatefulSet, or every mistake in its annotations.
func (c Config) Preview(namespace string, annotations map[string]string, statefulSet []byte) (objects [][]byte, mistakes []error) {
	var set appsv1.StatefulSet
	if err := json.Unmarshal(statefulSet, &set); err != nil {
		return nil, []error{fmt.Errorf("read StatefulSet: %w", err)}
	}
	set.Namespace = namespace
	request, refusals := backupapi.ParseStatefulSet(c.DefaultRequest(), namespace, set.Name, set.Annotations)
	accounts, refused := backupapi.ParseServiceAccountAnnotations(annotations)
	for _, refusal := range slices.Concat(refusals, refused, CheckEngine(request, &set), CheckConnection(request, &set)) {
		mistakes = append(mistakes, refusal)
	}
	if len(mistakes) > 0 || !request.Enabled {
		return nil, mistakes
	}
	for _, o := range c.Objects(Target{StatefulSet: &set, Request: request, ServiceAccountAnnotations: accounts}) {
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
