package monitoring

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
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

// A log line with a trace id links to its trace, in the form of each backend.
func TestDashboards_LogsLinkToTraces(t *testing.T) {
	links, queries := map[string]string{}, 0
	for _, d := range Dashboards() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Datasource  struct{ Type string }
				Targets     []struct{ QueryMode, Expression string }
				FieldConfig struct {
					Overrides []struct {
						Matcher    struct{ Options string }
						Properties []struct{ Value []struct{ URL string } }
					}
				}
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		for _, p := range board.Panels {
			if p.Datasource.Type != "cloudwatch" {
				continue
			}
			queries++
			for _, o := range p.FieldConfig.Overrides {
				if !strings.Contains(p.Targets[0].Expression, ", "+o.Matcher.Options) {
					t.Errorf("%s: the query does not return %s: %s", d.UID, o.Matcher.Options, p.Targets[0].Expression)
				}
				links[o.Matcher.Options] = o.Properties[0].Value[0].URL
			}
		}
	}
	want := map[string]string{
		"trace_id":      "${jaeger}/trace/${__value.raw}",
		"xray_trace_id": "https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}#xray:traces/${__value.raw}",
	}
	if diff := cmp.Diff(want, links); diff != "" || queries != 1 {
		t.Errorf("%d panels; links (-want +got):\n%s", queries, diff)
	}
}
