//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// notOurs are the metrics that the cluster has from the test's own programs, or that
// Prometheus makes: there is no program of ours to compare with.
var notOurs = []string{
	"ALERTS", "up",
	"fluentbit_output_dropped_records_total", "fluentbit_input_ingestion_paused",
}

// checkExpressions has Prometheus parse every expression of the alerts and dashboards, and
// checks that it has scraped each metric in them with each label that they name.
func checkExpressions(t *testing.T, m monitoring, values *strings.Replacer) {
	missing := map[string]bool{}
	for name, expr := range expressions(t) {
		tree, err := m.parse(t.Context(), values.Replace(expr))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, selector := range selectors(tree, nil) {
			if selector == "" {
				continue
			}
			series, err := m.query(t.Context(), "count(last_over_time("+selector+"[10m]))")
			if err != nil || len(series) == 0 {
				missing[selector] = true
			}
		}
	}
	for selector := range missing {
		t.Errorf("nothing exposes %s, which alerts or dashboards use", selector)
	}
}

// dashboard is the part of Grafana's dashboards that the tests read.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		Title, Type string
		Targets     []promQL
	}
}

// promQL is a query of Prometheus, or a target of another data source.
type promQL struct {
	Datasource struct{ Type string }
	Expr       string
}

func dashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	text, err := os.ReadFile("../manifests/base/monitoring/dashboards.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var object struct{ Data map[string]string }
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		for _, text := range object.Data {
			var d dashboard
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatal(err)
			}
			for i := range d.Panels {
				d.Panels[i].Targets = slices.DeleteFunc(d.Panels[i].Targets, func(q promQL) bool {
					other := q.Datasource.Type != "" && q.Datasource.Type != "prometheus"
					if !other && q.Expr == "" {
						t.Errorf("%s: %s: a target of Prometheus has no expression", d.Title, d.Panels[i].Title)
					}
					return other
				})
			}
			all = append(all, d)
		}
	}
	return all
}

// expressions returns the expressions of all alerts and dashboards by their names.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range rules(t) {
		all[r.Alert] = r.Expr
	}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all[d.Title+": "+p.Title+": "+target.Expr] = target.Expr
			}
		}
	}
	return all
}

// parse returns the tree of an expression as Prometheus' parser reads it.
func (m monitoring) parse(ctx context.Context, expr string) (map[string]any, error) {
	answer, err := m.clientset().CoreV1().Services(m.name).ProxyGet("http", "prometheus", "9090", "/api/v1/parse_query", map[string]string{"query": expr}).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w: %s", expr, err, answer)
	}
	var body struct{ Data map[string]any }
	err = json.Unmarshal(answer, &body)
	return body.Data, err
}

// selectors returns, for each metric in the tree, a selector that has every label by which the
// expression selects, groups or matches it.
func selectors(node any, labels []string) (all []string) {
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			all = append(all, selectors(child, labels)...)
		}
	case map[string]any:
		labels = append(slices.Clone(labels), names(n["grouping"])...)
		if matching, ok := n["matching"].(map[string]any); ok {
			labels = append(labels, names(matching["labels"])...)
		}
		if name, ok := n["name"].(string); ok && (n["type"] == "vectorSelector" || n["type"] == "matrixSelector") {
			all = append(all, withLabels(name, labels, n["matchers"]))
		}
		for key, child := range n {
			if key != "matchers" && key != "grouping" && key != "matching" {
				all = append(all, selectors(child, labels)...)
			}
		}
	}
	return all
}

func withLabels(name string, labels []string, matchers any) string {
	if slices.Contains(notOurs, name) {
		return ""
	}
	list, _ := matchers.([]any)
	for _, m := range list {
		if label, ok := m.(map[string]any)["name"].(string); ok && label != "__name__" {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	var conditions []string
	for _, label := range slices.Compact(labels) {
		conditions = append(conditions, label+`!=""`)
	}
	return name + "{" + strings.Join(conditions, ",") + "}"
}

func names(list any) (all []string) {
	values, _ := list.([]any)
	for _, v := range values {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// writeDashboards writes what the queries of each dashboard answer to out/dashboards: what one
// would see in Grafana, which is not available here.
func writeDashboards(t *testing.T, m monitoring, values *strings.Replacer) {
	dir := filepath.Join("..", "out", "dashboards")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards(t) {
		var page strings.Builder
		fmt.Fprintf(&page, "# %s\n", d.Title)
		for _, p := range d.Panels {
			if p.Type == "row" {
				fmt.Fprintf(&page, "\n## %s\n", p.Title)
				continue
			}
			fmt.Fprintf(&page, "\n### %s\n", p.Title)
			for _, target := range p.Targets {
				samples, err := m.query(t.Context(), values.Replace(target.Expr))
				if err != nil {
					t.Errorf("%s, %s: %v", d.Title, p.Title, err)
				}
				page.WriteString(table(samples))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, d.UID+".md"), []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func table(samples []sample) string {
	if len(samples) == 0 {
		return "\nno data\n"
	}
	var lines []string
	for _, s := range samples {
		delete(s.Metric, "__name__")
		var labels []string
		for name, value := range s.Metric {
			labels = append(labels, name+"="+value)
		}
		slices.Sort(labels)
		lines = append(lines, fmt.Sprintf("| %s | %v |", strings.Join(labels, " "), s.Value[1]))
	}
	slices.Sort(lines)
	return "\n| labels | value |\n|---|---|\n" + strings.Join(lines, "\n") + "\n"
}
