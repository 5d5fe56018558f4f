package resources

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Unstructured converts an object to its manifest form: without status and null fields.
func Unstructured(o Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", o.GetName(), err)
	}
	delete(content, "status")
	return &unstructured.Unstructured{Object: withoutNulls(content)}, nil
}

func withoutNulls(m map[string]any) map[string]any {
	for key, value := range m {
		switch v := value.(type) {
		case nil:
			delete(m, key)
		case map[string]any:
			withoutNulls(v)
		}
	}
	return m
}
