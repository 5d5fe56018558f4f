package servicemonitor

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

var kind = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}

const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "novawire"
	// annotationAppliedHash reveals a ServiceMonitor that is not as it should be, without
	// reading it.
	annotationAppliedHash = "nova.dev/applied-hash"
)

// monitorName differs from the Service's name, which users take for monitors of their own.
func monitorName(service string) string { return "novawire-" + service }

// monitorOf returns the ServiceMonitor of a Service. A ServiceMonitor selects Services by
// labels, which a Service may lack or share; so it selects all of the namespace, and its first
// rule keeps the one.
func monitorOf(s *corev1.Service, labels map[string]string) (*unstructured.Unstructured, error) {
	rules, err := relabelings(s.Name)
	if err != nil {
		return nil, err
	}
	spec := map[string]any{
		"selector":  map[string]any{},
		"endpoints": []any{map[string]any{"interval": "30s", "relabelings": rules}},
	}
	text, err := json.Marshal([]any{spec, labels})
	if err != nil {
		return nil, fmt.Errorf("encode the ServiceMonitor of %s: %w", s.Name, err)
	}
	sum := sha256.Sum256(text)
	m := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	m.SetGroupVersionKind(kind)
	m.SetNamespace(s.Namespace)
	m.SetName(monitorName(s.Name))
	all := map[string]string{labelManagedBy: managedBy}
	maps.Copy(all, labels)
	m.SetLabels(all)
	m.SetAnnotations(map[string]string{annotationAppliedHash: hex.EncodeToString(sum[:8])})
	controls := true
	m.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: s.Name, UID: s.UID, Controller: &controls}})
	return m, nil
}

//go:embed relabelings.yaml
var ofPods []byte

// relabelings returns the rules of the PodMonitor nova-pods for the wired pods behind one
// Service.
func relabelings(service string) ([]any, error) {
	rules := []any{
		map[string]any{"action": "keep", "sourceLabels": []any{"__meta_kubernetes_service_name"}, "regex": service},
		map[string]any{"action": "keep", "sourceLabels": []any{"__meta_kubernetes_pod_label_nova_dev_metrics"}, "regex": "true"},
	}
	var more []any
	if err := yaml.Unmarshal(ofPods, &more); err != nil {
		return nil, fmt.Errorf("read the relabelings: %w", err)
	}
	return append(rules, more...), nil
}
