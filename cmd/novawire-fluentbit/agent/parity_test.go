package agent

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/workload"
)

// ownNames are the goldens in which a container names its service itself. The
// agent sees variables; Fluent Bit's kubernetes filter does not.
var ownNames = []string{"service-name-in-attributes/app", "user-variables/app"}

// In every golden of injection, logs carry the service name of the traces.
func TestParity_ServiceNames(t *testing.T) {
	files, err := filepath.Glob("../../../webhook/inject/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			g := readGolden(t, archive)
			for _, c := range slices.Concat(g.pod.Spec.InitContainers, g.pod.Spec.Containers) {
				traces := serviceOfTraces(c)
				if traces == "" {
					continue // injection sets no name, or one that only the kubelet knows
				}
				if logs := describe(&g.pod, g.namespaceAnnotations, g.nameLabels).ServiceOf(c.Name); logs != traces {
					t.Errorf("container %s: traces are of %q, logs of %q", c.Name, traces, logs)
				}
				if logs := g.serviceByFilter(c.Name); logs != traces && !slices.Contains(ownNames, name+"/"+c.Name) {
					t.Errorf("container %s: traces are of %q, logs by the filter of %q", c.Name, traces, logs)
				}
			}
		})
	}
}

type golden struct {
	pod                  corev1.Pod // as it leaves injection
	namespaceAnnotations map[string]string
	nameLabels           []string
}

func readGolden(t *testing.T, archive *txtar.Archive) (g golden) {
	t.Helper()
	var config struct {
		ServiceNameLabels []string `json:"serviceNameLabels"`
	}
	for _, f := range archive.Files {
		var into any
		switch f.Name {
		case "wired.yaml":
			into = &g.pod
		case "namespace.yaml":
			into = &g.namespaceAnnotations
		case "config.yaml":
			into = &config
		default:
			continue
		}
		if err := yaml.Unmarshal(f.Data, into); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	g.nameLabels = config.ServiceNameLabels
	return g
}

// serviceOfTraces returns the service name that OpenTelemetry reads in a container.
func serviceOfTraces(c corev1.Container) string {
	var name, attributes string
	for _, v := range c.Env {
		if v.ValueFrom != nil {
			continue
		}
		switch v.Name {
		case "OTEL_SERVICE_NAME":
			name = v.Value
		case "OTEL_RESOURCE_ATTRIBUTES":
			attributes = v.Value
		}
	}
	return workload.ServiceOfEnvironment(name, attributes)
}

// serviceByFilter returns the service name of a line with the metadata of Fluent
// Bit's kubernetes filter.
func (g golden) serviceByFilter(container string) string {
	name := g.pod.Name
	if name == "" {
		name = g.pod.GenerateName + "x2v9k" // what the API server appends
	}
	kubernetes := chunks.Map{
		{"pod_name", name},
		{"namespace_name", "nova"},
		{"container_name", container},
		{"labels", textMap(g.pod.Labels)},
		{"annotations", textMap(g.pod.Annotations)},
	}
	if len(g.pod.OwnerReferences) > 0 {
		var owners []any
		for _, o := range g.pod.OwnerReferences {
			owners = append(owners, chunks.Map{{"kind", o.Kind}, {"name", o.Name}, {"controller", o.Controller != nil && *o.Controller}})
		}
		kubernetes = append(kubernetes, [2]any{"ownerReferences", owners})
	}
	line := chunks.V1(1, chunks.Map{
		{"log", "x"},
		{"kubernetes", kubernetes},
		{"kubernetes_namespace", chunks.Map{{"name", "nova"}, {"annotations", textMap(g.namespaceAnnotations)}}},
	})
	pods := &record.Pods{ServiceNameLabels: g.nameLabels, Destination: func(*record.Pod) any { return nil }}
	decoder := record.Decoder{Pods: pods}
	return decoder.Decode(line, "t", 0).Events[0].Pod.Service
}

func textMap(all map[string]string) (m chunks.Map) {
	for key, value := range all {
		m = append(m, [2]any{key, value})
	}
	return m
}
