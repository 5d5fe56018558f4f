package policy

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
)

// TestPatterns compares the expressions with the engine's own rules.
func TestPatterns(t *testing.T) {
	values := []string{
		"", " ", "a", "A", "0", "1", "01", "1.0", "1.5", "0.5", ".5", "0.", "1e-3", "0x1", "+1", "-1", "NaN", "2", "65535", "65536", "99999", "59999",
		"sidecar", "gateway", "none", "Sidecar", "sidecar ", "grpc", "http/protobuf", "http", "https", "structured", "true", "false", "True",
		"/", "/metrics", "metrics", "/a b", "/a\tb", "/ä", "web", "web-1", "-web", "web-", "w--b", "WEB", "abcdefghijklmno", "1web", "web,", "a,b", "a, b", "a,,b", ",",
		"10m", "100m", "64Mi", "1Gi", "1e3", "0.5Gi", "1.Gi", "Mi", "1 Mi", "10%", "32Mi", "1T",
		"k=v", "k=v,l=w", "k", "=v", "k=", "k=%2C", "k=%2c", "k=%41", "k=100%", "k=a b", "k=\"", "k=a=b", "k=$(A)", "$(A)", "k=ä", "k=%C3%A4", "k%2C=v", "k=v,", "k=v,,l=w",
		"name", " name", "name ", "a name", "nä", "a\nb", "a\x7fb", strings.Repeat("a", 255), strings.Repeat("a", 256),
	}
	for key, pattern := range patterns {
		accepts := regexp.MustCompile(pattern)
		for _, value := range values {
			_, refusals := injection.ParseRequest(injection.Request{}, injection.Layer{Source: injection.SourcePod, Annotations: map[string]string{key: value}})
			wrong := len(refusals) > 0
			checkedLater := key == injection.AnnotationRedact || key == injection.AnnotationMetricsPort && len(value) > 15 || strings.HasSuffix(key, "-limit") // by size and by comparison
			if accepts.MatchString(value) && wrong && !checkedLater {
				t.Errorf("%s: the policy reads %q, which the engine refuses: %v", key, value, refusals)
			}
		}
	}
}

// TestPatterns_EveryKey finds an annotation that the policy does not know. It leaves pods with such a
// key alone.
func TestPatterns_EveryKey(t *testing.T) {
	for _, key := range injection.Keys() {
		if key.On != api.OnPod || key.Written || key.Label || !strings.HasPrefix(key.Name, injection.AnnotationPrefix) {
			continue
		}
		if _, ok := patterns[key.Name]; !ok {
			t.Errorf("%s has no pattern", key.Name)
		}
	}
}

func TestOnSidecarPort(t *testing.T) {
	if got := onSidecarPort(`:(\d{4,5})$`); got != ":(?:4317|4318|18888)$" {
		t.Error(got)
	}
	defer func() {
		if recover() == nil {
			t.Error("an expression without the group is taken")
		}
	}()
	onSidecarPort(`:(\d+)`)
}

func TestWrite(t *testing.T) {
	config := inject.DefaultConfig()
	config.Version = "v1.2.3"
	config.Namespaces = map[string]inject.NamespaceConfig{"staging": {DeploymentEnvironment: "staging"}, "kube-system": {DeploymentEnvironment: "x"}}
	text, err := Write(config)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "<<") {
		t.Error("a placeholder is left")
	}
	t.Run("a namespace with a configuration of its own has a policy of its own", func(t *testing.T) {
		var names []string
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var object map[string]any
			if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
				t.Fatal(err)
			}
			names = append(names, fmt.Sprint(object["kind"], " ", object["metadata"].(map[string]any)["name"]))
		}
		want := "MutatingAdmissionPolicy novawire, MutatingAdmissionPolicyBinding novawire, MutatingAdmissionPolicy novawire-staging, MutatingAdmissionPolicyBinding novawire-staging"
		engine, err := inject.New(config)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"novawire": "", "novawire-staging": "staging"}, Names(engine)); diff != "" {
			t.Error(diff)
		}
		if got := strings.Join(names, ", "); got != want {
			t.Errorf("objects are %s, want %s", got, want)
		}
		for _, selector := range []string{
			"operator: NotIn, values: [kube-system, kube-public, kube-node-lease, novawire-system, staging]", "operator: In, values: [staging]",
		} {
			if !strings.Contains(string(text), selector) {
				t.Errorf("no binding has the selector %s", selector)
			}
		}
	})
	t.Run("a cluster without the API is refused", func(t *testing.T) {
		config := inject.DefaultConfig()
		config.KubernetesVersion = "1.35"
		if _, err := Write(config); err == nil || !strings.Contains(err.Error(), `"1.35" has no MutatingAdmissionPolicy: use 1.36 or later`) {
			t.Error(err)
		}
	})
	t.Run("a wrong configuration is refused", func(t *testing.T) {
		config := inject.DefaultConfig()
		config.Sidecar.Image = ""
		if _, err := Write(config); err == nil || !strings.Contains(err.Error(), "sidecar.image") {
			t.Error(err)
		}
	})
}

func TestWarnings(t *testing.T) {
	config := inject.DefaultConfig()
	if got := Warnings(config); len(got) > 0 {
		t.Errorf("the default configuration has warnings: %q", got)
	}
	config.AllowedOverrides.Pod = []string{}
	config.Namespaces = map[string]inject.NamespaceConfig{"kube-system": {}}
	if got := strings.Join(Warnings(config), "\n"); !strings.HasPrefix(got, "injection.allowedOverrides: ") || !strings.Contains(got, "injection.namespaces.kube-system: ") {
		t.Errorf("warnings are %q", got)
	}
}

// TestDocs_Features compares the table of docs/policy.md with Features.
func TestDocs_Features(t *testing.T) {
	var table strings.Builder
	table.WriteString("| word in the status | the webhook | with the policy |\n|---|---|---|\n")
	for _, f := range Features() {
		name := "–"
		if f.Name != "" {
			name = "`" + f.Name + "`"
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", name, f.Engine, f.Outcome)
	}
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), table.String()) {
		t.Errorf("docs/policy.md does not hold this table:\n%s", table.String())
	}
}
