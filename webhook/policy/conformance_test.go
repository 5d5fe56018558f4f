package policy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/testing/cluster"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/policy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

const goldens = "../inject/testdata"

// goldenCase is a pod of the engine's golden tests, in a namespace of its own.
type goldenCase struct {
	name   string
	config inject.Config
	ns     inject.Namespace
	pod    *unstructured.Unstructured
	limits bool // the engine's case has LimitRanges or ResourceQuotas, which the policy does not read
}

// TestPolicy_Conformance creates every pod of the engine's golden tests, as a dry run, on an API
// server with the policy, and compares it with what the engine makes of it. The pod is the same,
// or it is as it was and its status annotation names an entry of the table in docs/policy.md.
// testdata/conformance.txt has the results.
func TestPolicy_Conformance(t *testing.T) {
	s := newServer(t)
	var cases []goldenCase
	results := map[string]string{}
	for _, file := range append(goldenFiles(t, goldens), goldenFiles(t, "testdata")...) {
		c := readGolden(t, file)
		if _, err := policy.Write(c.config); err != nil {
			results[c.name] = "refused: " + err.Error()
			if !strings.Contains(err.Error(), "has no MutatingAdmissionPolicy") {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		cases = append(cases, c)
		s.install(t, c)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s.waitForPolicy(t, c)
			results[c.name] = s.compare(t, c)
		})
	}
	for _, f := range policy.Features() {
		seen := func(result string) bool {
			return strings.Contains(result, "left alone: ") && strings.Contains(result, f.Name)
		}
		if f.Name != "" && !slices.ContainsFunc(slices.Collect(maps.Values(results)), seen) {
			t.Errorf("no case shows the feature %q", f.Name)
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(results)) {
		b.WriteString(name + ": " + results[name] + "\n")
	}
	const file = "testdata/conformance.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := os.ReadFile(file)
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-want +got (go test ./webhook/policy -update rewrites):\n%s", diff)
	}
}

func goldenFiles(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	return files
}

func readGolden(t *testing.T, file string) goldenCase {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := goldenCase{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), config: inject.DefaultConfig(), pod: &unstructured.Unstructured{}}
	c.ns.Name = "g-" + c.name
	c.config.ClusterName, c.config.DeploymentEnvironment = "nova-prod", "production"
	sections := map[string]any{"config.yaml": &c.config, "namespace.yaml": &c.ns.Annotations, "pod.yaml": &c.pod.Object}
	for _, f := range archive.Files {
		c.limits = c.limits || f.Name == "limits.yaml"
		if into := sections[f.Name]; into != nil {
			if err := yaml.Unmarshal(f.Data, into); err != nil {
				t.Fatal(err)
			}
		}
	}
	if special, ok := c.config.Namespaces["nova"]; ok {
		c.config.Namespaces = map[string]inject.NamespaceConfig{c.ns.Name: special}
	}
	complete(c.pod)
	return c
}

// complete adds what the API server requires and the engine does not, and corrects what it refuses.
func complete(pod *unstructured.Unstructured) {
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	if _, mirror := pod.GetAnnotations()["kubernetes.io/config.mirror"]; mirror {
		_ = unstructured.SetNestedField(pod.Object, "node", "spec", "nodeName")
	}
	if pod.GetName() == "" && pod.GetGenerateName() == "" {
		pod.SetName("pod")
	}
	owners, _, _ := unstructured.NestedSlice(pod.Object, "metadata", "ownerReferences")
	for _, o := range owners {
		owner := o.(map[string]any)
		owner["uid"] = "00000000-0000-0000-0000-000000000000"
		if owner["apiVersion"] == nil {
			owner["apiVersion"] = "example.com/v1"
		}
	}
	if len(owners) > 0 {
		_ = unstructured.SetNestedSlice(pod.Object, owners, "metadata", "ownerReferences")
	}
	for _, list := range []string{"containers", "initContainers"} {
		containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", list)
		for _, c := range containers {
			c := c.(map[string]any)
			if hostProcess, _, _ := unstructured.NestedBool(c, "securityContext", "windowsOptions", "hostProcess"); hostProcess {
				_ = unstructured.SetNestedField(pod.Object, true, "spec", "hostNetwork")
			}
			if port, ok, _ := unstructured.NestedString(c, "livenessProbe", "httpGet", "port"); ok && strings.Trim(port, "0123456789") == "" {
				number, _ := strconv.ParseInt(port, 10, 64)
				_ = unstructured.SetNestedField(c, number, "livenessProbe", "httpGet", "port")
			}
			if c["image"] == nil {
				c["image"] = "images.example/app"
			}
		}
		if len(containers) > 0 {
			_ = unstructured.SetNestedSlice(pod.Object, containers, "spec", list)
		}
	}
}

// compare returns the result of one case.
func (s server) compare(t *testing.T, c goldenCase) string {
	t.Helper()
	got, err := s.dryRun(t.Context(), c.pod, c.ns.Name)
	if err != nil {
		t.Fatal(err)
	}
	want := s.byEngine(t, c)
	if features, left := inject.UnsupportedByPolicy(got.GetAnnotations()); left {
		for feature := range strings.SplitSeq(features, ", ") {
			if !slices.ContainsFunc(policy.Features(), func(f policy.Feature) bool { return f.Name == feature }) {
				t.Errorf("the table of docs/policy.md has no feature %q", feature)
			}
		}
		without := got.DeepCopy()
		unstructured.RemoveNestedField(without.Object, "metadata", "annotations", injection.AnnotationStatus)
		s.checkSame(t, s.asItWas(t, c), without)
		return "left alone: " + features
	}
	if _, wired := inject.ReadStatus(c.pod.GetAnnotations()); wired {
		s.checkSame(t, s.asItWas(t, c), got)
		return "left alone: it was wired before"
	}
	s.checkSame(t, want, got)
	if got.GetAnnotations()[injection.AnnotationStatus] == "" {
		return "skipped"
	}
	if c.limits {
		return "the same, but for the limits of the namespace"
	}
	return "the same"
}

// asItWas returns the pod with the API server's defaults only.
func (s server) asItWas(t *testing.T, c goldenCase) *unstructured.Unstructured {
	t.Helper()
	pod, err := s.dryRun(t.Context(), c.pod, plain)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// byEngine returns what the webhook would make of a pod.
func (s server) byEngine(t *testing.T, c goldenCase) *unstructured.Unstructured {
	t.Helper()
	reviewed := s.asItWas(t, c)
	if c.pod.GetName() == "" { // a webhook sees a pod before it has a name
		unstructured.RemoveNestedField(reviewed.Object, "metadata", "name")
	}
	wired, _ := review(t, c.config, c.ns, reviewed)
	return s.stored(t, wired)
}

// stored returns a pod that was changed after a dry run, with the API server's defaults.
func (s server) stored(t *testing.T, pod *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	again := pod.DeepCopy()
	for _, field := range []string{"uid", "creationTimestamp", "managedFields"} {
		unstructured.RemoveNestedField(again.Object, "metadata", field)
	}
	stored, err := s.dryRun(t.Context(), again, plain)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// review returns a pod after the webhook's patch.
func review(t *testing.T, config inject.Config, ns inject.Namespace, pod *unstructured.Unstructured) (*unstructured.Unstructured, inject.Result) {
	t.Helper()
	raw, err := json.Marshal(pod.Object)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := inject.New(config)
	if err != nil {
		t.Fatal(err)
	}
	result, err := engine.Pod(raw, ns)
	if err != nil {
		t.Fatal(err)
	}
	if result.Patch != nil {
		operations, err := jsonpatch.DecodePatch(result.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = operations.Apply(raw); err != nil {
			t.Fatal(err)
		}
	}
	wired := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &wired.Object); err != nil {
		t.Fatal(err)
	}
	return wired, result
}

func (s server) checkSame(t *testing.T, want, got *unstructured.Unstructured) {
	t.Helper()
	if diff := cmp.Diff(comparable(t, want), comparable(t, got)); diff != "" {
		t.Fatalf("-engine +policy:\n%s", diff)
	}
}

// comparable returns a pod as text, without what differs between two creations of one pod.
func comparable(t *testing.T, pod *unstructured.Unstructured) string {
	t.Helper()
	o := pod.DeepCopy()
	for _, field := range []string{"uid", "creationTimestamp", "managedFields", "namespace", "resourceVersion"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	if o.GetGenerateName() != "" {
		o.SetName("")
	}
	annotations := o.GetAnnotations()
	if status, ok := annotations[injection.AnnotationStatus]; ok {
		annotations[injection.AnnotationStatus] = strings.Replace(status, fmt.Sprintf(`"by":%q,`, inject.ByPolicy), "", 1)
	}
	if len(annotations) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	} else {
		o.SetAnnotations(annotations)
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
