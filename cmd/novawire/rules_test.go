package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const promtoolVariable = "NOVAWIRE_PROMTOOL"

// Each rule of the monitoring component has a file of cases in testdata/rules,
// by its own name, in the language of `promtool test rules`.
func TestAlerts(t *testing.T) {
	promtool := os.Getenv(promtoolVariable)
	if promtool == "" {
		message := promtoolVariable + ` is not set; run it with: eval "$(tools/provide promtool env)" && go test -run ` + t.Name() + ` ./cmd/novawire, or make test`
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	rules, err := filepath.Glob("../../manifests/components/monitoring/*-rule.yaml")
	if err != nil || len(rules) == 0 {
		t.Fatal("no rules", err)
	}
	for _, file := range rules {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			dir := t.TempDir()
			copyRule(t, file, filepath.Join(dir, "rule.yaml"))
			cases, err := os.ReadFile(filepath.Join("testdata/rules", name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "cases.yaml"), cases, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(promtool, "test", "rules", filepath.Join(dir, "cases.yaml")).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// copyRule writes the groups of a PrometheusRule as a rule file and checks that each
// alert has a test case.
func copyRule(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var rule struct {
		Spec struct {
			Groups []struct {
				Name  string           `json:"name"`
				Rules []map[string]any `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &rule); err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile(filepath.Join("testdata/rules", filepath.Base(from)))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range rule.Spec.Groups {
		for _, r := range group.Rules {
			if name, _ := r["alert"].(string); !strings.Contains(string(cases), "alertname: "+name+"\n") {
				t.Errorf("no case has %q fire", name)
			}
		}
	}
	out, err := yaml.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, out, 0o600); err != nil {
		t.Fatal(err)
	}
}
