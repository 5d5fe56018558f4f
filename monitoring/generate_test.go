package monitoring

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated files")

// TestGenerated holds the generated files equal to the description.
func TestGenerated(t *testing.T) {
	groups := Groups()
	files := map[string][]byte{"infra/terraform/modules/alarms/alarms.tf": Terraform(groups)}
	add := func(path string, text []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		files[path] = text
	}
	text, err := RuleFile(groups)
	add("infra/prometheus/rules.yaml", text, err)
	text, err = CloudFormation(groups)
	add("infra/cloudformation/alarms.yaml", text, err)
	for _, g := range groups {
		text, err = g.PrometheusRule()
		add("manifests/base/monitoring/"+g.Name+"-rule.yaml", text, err)
		add("docs/runbooks/alerts/"+g.Name+".md", g.Runbook(), nil)
	}
	text, err = ConfigMaps(Dashboards())
	add("manifests/base/monitoring/dashboards.yaml", text, err)
	for path, want := range files {
		path = filepath.Join("..", path)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v; run make generate", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s differs from the description; run make generate (-want +got):\n%s", path, diff)
		}
	}
}
