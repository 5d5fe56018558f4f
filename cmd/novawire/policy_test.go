package main

import (
	"os"
	"strings"
	"testing"

	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

func TestPolicy(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"good.yaml":    "{apiVersion: config.nova.dev/v1alpha1, kind: ManagerConfiguration, injection: {clusterName: blue}}",
		"old.yaml":     "{apiVersion: config.nova.dev/v1alpha1, kind: ManagerConfiguration, injection: {kubernetesVersion: '1.33'}}",
		"strict.yaml":  "{apiVersion: config.nova.dev/v1alpha1, kind: ManagerConfiguration, injection: {allowedOverrides: {pod: []}}}",
		"unknown.yaml": "{apiVersion: config.nova.dev/v1alpha1, kind: ManagerConfiguration, injection: {clustername: blue}}",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args           string
		stdout, stderr string
		code           int
	}{
		"prints a policy with the configuration":  {"policy --config good.yaml", "['k8s.cluster.name', \"blue\"]", "", 0},
		"prints a binding":                        {"policy", "kind: MutatingAdmissionPolicyBinding", "", 0},
		"lists what a policy cannot do":           {"policy", "#   port-taken: ", "", 0},
		"warns about what the configuration asks": {"policy --config strict.yaml", "kind: MutatingAdmissionPolicy", "warning: injection.allowedOverrides: ", 0},
		"refuses a cluster that is too old":       {"policy --config old.yaml", "", `injection: kubernetesVersion: "1.33" has no MutatingAdmissionPolicy: use 1.36 or later`, 1},
		"refuses a wrong configuration":           {"policy --config unknown.yaml", "", "unknown.yaml: unknown field", 1},
		"refuses an argument":                     {"policy nova", "", "policy: ", 2},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := cli(t, "", strings.Fields(c.args)...)
			if !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || code != c.code || c.code != 0 && stdout != "" {
				t.Errorf("exit %d, stderr %q, stdout of %d bytes", code, stderr, len(stdout))
			}
			if c.stderr == "" && stderr != "" {
				t.Errorf("stderr is %q", stderr)
			}
		})
	}
}

// The example of the help reads the ConfigMap that the manager mounts, whatever its name.
func TestPolicy_ExampleReadsTheMountedConfiguration(t *testing.T) {
	lines := strings.Split(policyCommand().Example, "\n")
	_, path, _ := strings.Cut(lines[0], "jsonpath='")
	path, _, _ = strings.Cut(path, "')")
	text, err := os.ReadFile("../../manifests/base/deployment.yaml")
	must(t, err)
	var deployment map[string]any
	must(t, yaml.Unmarshal(text, &deployment))
	find := jsonpath.New("example")
	must(t, find.Parse(path))
	var got strings.Builder
	if err := find.Execute(&got, deployment); err != nil || got.String() != "novawire-config" {
		t.Errorf("%s is %q: %v", path, got.String(), err)
	}
	if len(lines) != 3 || !strings.Contains(lines[1], "> config.yaml") || !strings.Contains(lines[2], "--config config.yaml") {
		t.Errorf("the file is read before it is written:\n%s", policyCommand().Example)
	}
	page, err := os.ReadFile("../../docs/policy.md")
	must(t, err)
	for _, line := range lines {
		if !strings.Contains(string(page), "\n"+strings.TrimSpace(line)+"\n") {
			t.Errorf("docs/policy.md lacks %s", line)
		}
	}
}
