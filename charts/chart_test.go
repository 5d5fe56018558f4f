// Package charts tests the Helm chart: it renders what kustomize renders, the API
// server accepts it, and its documentation is generated from its schema.
package charts

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

var update = flag.Bool("update", false, "rewrite the chart's copies of manifests/ and its README")

const chart = "novawire"

// program returns the path of a program that tools/provide makes, from the variable
// that names it. Where it is missing the test is skipped, and in CI it fails.
func program(t *testing.T, variable, name string) string {
	t.Helper()
	return filepath.Join(prerequisite.Path(t, variable, "helm kubernetes"), name)
}

// helm runs helm with a home of its own and returns its output.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(program(t, "NOVAWIRE_HELM", ""), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG=/dev/null")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("helm %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out.String(), nil
}

// render returns the objects of the chart with the given values (YAML documents or
// names of files in ci).
func render(t *testing.T, namespace string, values ...string) ([]unstructured.Unstructured, error) {
	t.Helper()
	args := []string{"template", "novawire", chart, "--namespace", namespace}
	for i, v := range values {
		file := filepath.Join(chart, "ci", v)
		if strings.ContainsAny(v, ":\n") || v == "" {
			file = filepath.Join(t.TempDir(), fmt.Sprintf("%d.yaml", i))
			if err := os.WriteFile(file, []byte(v), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, "--values", file)
	}
	out, err := helm(t, args...)
	if err != nil {
		return nil, err
	}
	return objects(t, out), nil
}

func mustRender(t *testing.T, namespace string, values ...string) []unstructured.Unstructured {
	t.Helper()
	rendered, err := render(t, namespace, values...)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

// objects parses a stream of YAML documents.
func objects(t *testing.T, text string) (parsed []unstructured.Unstructured) {
	t.Helper()
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split("\n"+text, -1) {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object) > 0 {
			parsed = append(parsed, unstructured.Unstructured{Object: object})
		}
	}
	return parsed
}

func kustomize(t *testing.T, dir string) []unstructured.Unstructured {
	t.Helper()
	out, err := exec.Command(program(t, "KUBEBUILDER_ASSETS", "kubectl"), "kustomize", dir).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v", dir, err)
	}
	return objects(t, string(out))
}

func TestLint(t *testing.T) {
	for _, values := range [][]string{nil, {"--values", chart + "/ci/prod-values.yaml"}, {"--values", chart + "/ci/staging-values.yaml"}} {
		if out, err := helm(t, append([]string{"lint", "--strict", chart}, values...)...); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// TestParity compares the chart with kustomize, object by object.
func TestParity(t *testing.T) {
	for _, c := range []struct {
		name    string
		overlay string // below manifests/overlays, or
		with    []string
		values  []string
		without string // namespace whose objects only kustomize has
	}{
		{name: "prod", overlay: "prod", values: []string{"prod-values.yaml"}},
		{name: "staging", overlay: "staging", values: []string{"staging-values.yaml"}},
		{name: "kind", overlay: "kind", values: []string{"namespace: {create: true}\nimage: {tag: dev}\nbackup: {secretCheck: true, watchSecrets: true}\ndrift: {namespaceStatus: true}\nadmissionProbe: {enabled: true}\nrepair: {enabled: true}"}, without: "novawire-logging"},
		{
			name: "cert-manager", with: []string{"certs-cert-manager"}, without: "novawire-logging",
			values: []string{"namespace: {create: true}\ncertificates: {mode: cert-manager}"},
		},
		{
			name: "repair", with: []string{"certs-self", "admission-probe", "repair", "webhook-restore"}, without: "novawire-logging",
			values: []string{"namespace: {create: true}\nadmissionProbe: {enabled: true, restoreWebhooks: true}\nrepair: {enabled: true}"},
		},
		{
			name: "files", with: []string{"certs-files"}, without: "novawire-logging",
			values: []string{"namespace: {create: true}\ncertificates: {mode: files}"},
		},
		{
			name: "monitoring", with: []string{"certs-self", "monitoring"},
			values: []string{"namespace: {create: true}\nmonitoring: {rules: true, monitors: true}\nlogging: {enabled: true, awsRegion: eu-west-1}"},
		},
		{
			name: "a ServiceMonitor for each Service", with: []string{"certs-self", "monitoring", "service-monitors"},
			values: []string{"namespace: {create: true}\nmonitoring: {rules: true, monitors: true, serviceMonitors: true}\nlogging: {enabled: true, awsRegion: eu-west-1}"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join("../manifests/overlays", c.overlay)
			config := "{}"
			if c.overlay == "" {
				dir = installation(t, c.with)
			} else {
				config = read(t, filepath.Join(dir, "config.yaml"))
			}
			want := normal(t, kustomize(t, dir), c.without)
			got := normal(t, mustRender(t, "novawire-system", append(c.values, valuesOf(t, config))...), "")
			for _, key := range slices.Sorted(maps.Keys(want)) {
				if diff := cmp.Diff(want[key], got[key]); diff != "" {
					t.Errorf("%s: kustomize (-) and the chart (+) differ:\n%s", key, diff)
				}
				delete(got, key)
			}
			for key := range got {
				t.Errorf("%s: only the chart has it", key)
			}
		})
	}
}

// installation makes a kustomization of the base with the given components.
func installation(t *testing.T, components []string) string {
	t.Helper()
	dir := t.TempDir()
	manifests, err := filepath.Abs("../manifests")
	if err != nil {
		t.Fatal(err)
	}
	if manifests, err = filepath.Rel(dir, manifests); err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nlabels: [{pairs: {app.kubernetes.io/part-of: novawire}}]\nresources: [" + manifests + "/base]\ncomponents:\n"
	for _, name := range components {
		text += "  - " + manifests + "/components/" + name + "\n"
	}
	text += `images:
  - {name: ghcr.io/nova/novawire, newTag: v0.1.0}
  - {name: ghcr.io/nova/novawire-fluentbit, newTag: v0.1.0}
  - {name: fluent/fluent-bit, newTag: 5.1.1}
configMapGenerator:
  - name: novawire-config
    namespace: novawire-system
    literals: ["config.yaml={}"]
replacements:
  - source: {kind: Deployment, name: novawire, fieldPath: 'spec.template.spec.containers.[name=webhook].image'}
    targets:
      - select: {kind: Deployment, name: novawire}
        fieldPaths: ['spec.template.spec.containers.[name=webhook].env.[name=NOVAWIRE_IMAGE].value']
patches:
  - patch: |
      apiVersion: apps/v1
      kind: DaemonSet
      metadata: {name: fluent-bit, namespace: novawire-logging}
      spec:
        template:
          spec:
            initContainers: [{name: check, env: [{name: AWS_REGION, value: eu-west-1}]}]
            containers: [{name: fluent-bit, env: [{name: AWS_REGION, value: eu-west-1}]}]
`
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// valuesOf returns chart values that hold a configuration file.
func valuesOf(t *testing.T, config string) string {
	t.Helper()
	var content map[string]any
	if err := yaml.Unmarshal([]byte(config), &content); err != nil {
		t.Fatal(err)
	}
	delete(content, "apiVersion")
	delete(content, "kind")
	values, err := yaml.Marshal(map[string]any{"config": content})
	if err != nil {
		t.Fatal(err)
	}
	return string(values)
}

var hashSuffix = regexp.MustCompile(`^(novawire-config|fluent-bit-config)-[0-9a-z]{10}$`)

// normal returns the objects by kind and name, without what only one of the two
// tools adds: Helm's labels, the hash in the name of a ConfigMap and the hash of a
// ConfigMap in an annotation. ConfigMaps hold parsed YAML. Variables and
// init containers are sorted: an overlay's patch moves what it changes to the front.
func normal(t *testing.T, all []unstructured.Unstructured, without string) map[string]any {
	t.Helper()
	result := map[string]any{}
	for _, o := range all {
		if without != "" && (o.GetNamespace() == without || o.GetName() == without || strings.Contains(o.GetName(), "fluent-bit")) {
			continue
		}
		labels := o.GetLabels()
		for _, name := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
			delete(labels, name)
		}
		o.SetLabels(labels)
		unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata", "annotations", "checksum/config")
		if a, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "metadata", "annotations"); len(a) == 0 {
			unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata", "annotations")
		}
		if o.GetKind() == "ConfigMap" {
			data, _, _ := unstructured.NestedMap(o.Object, "data")
			for file, text := range data {
				data[file] = configuration(t, text.(string))
			}
			o.Object["data"] = data
		}
		rename(o.Object)
		key := fmt.Sprintf("%s %s/%s", o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName())
		if _, twice := result[key]; twice {
			t.Errorf("two objects %s", key)
		}
		result[key] = o.Object
	}
	return result
}

// configuration parses a file of a ConfigMap. An unversioned configuration of the
// manager is the same as a versioned one.
func configuration(t *testing.T, text string) any {
	t.Helper()
	var content map[string]any
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatal(err)
	}
	if content["kind"] == "ManagerConfiguration" {
		delete(content, "apiVersion")
		delete(content, "kind")
	}
	return content
}

// rename drops the hash from each string that is the name of a generated ConfigMap.
func rename(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if list, ok := inner.([]any); ok && (key == "env" || key == "initContainers") {
				slices.SortFunc(list, func(a, b any) int {
					return strings.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
				})
			}
			if text, ok := inner.(string); ok {
				if name := hashSuffix.FindStringSubmatch(text); name != nil {
					v[key] = name[1]
				}
			}
			rename(inner)
		}
	case []any:
		for _, inner := range v {
			rename(inner)
		}
	}
}

func TestNormal(t *testing.T) {
	t.Run("keeps a difference that matters", func(t *testing.T) {
		one := objects(t, "kind: Role\nmetadata: {name: a}\nrules: [{verbs: [get]}]")
		other := objects(t, "kind: Role\nmetadata: {name: a}\nrules: [{verbs: [get, list]}]")
		if cmp.Equal(normal(t, one, ""), normal(t, other, "")) {
			t.Error("two roles are equal")
		}
	})
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// images returns every image reference of the objects, sorted.
func images(all []unstructured.Unstructured) (found []string) {
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, inner := range v {
				if text, ok := inner.(string); ok && key == "image" {
					found = append(found, text)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	for _, o := range all {
		walk(o.Object)
	}
	slices.Sort(found)
	return slices.Compact(found)
}
