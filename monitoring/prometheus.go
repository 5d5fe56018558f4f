package monitoring

import (
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

const generated = "# Generated from package monitoring by `make generate`; do not edit.\n"

// runbooks is the address of the runbook pages.
const runbooks = "https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/"

type ruleGroup struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func (g Group) rules() ruleGroup {
	out := ruleGroup{Name: "novawire-" + g.Name}
	for _, a := range g.Alerts {
		out.Rules = append(out.Rules, rule{
			Alert: a.Name, Expr: a.Expr, For: duration(a.For),
			Labels:      map[string]string{"severity": string(a.Severity)},
			Annotations: map[string]string{"summary": a.Summary, "description": a.Description, "runbook_url": runbookURL(g, a)},
		})
	}
	return out
}

func runbookURL(g Group, a Alert) string {
	return runbooks + g.Name + ".md#" + strings.ToLower(a.Name)
}

// duration formats whole minutes as Prometheus writes them; zero is "".
func duration(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
}

// PrometheusRule returns the group as an object of the Prometheus Operator.
func (g Group) PrometheusRule() ([]byte, error) {
	return marshal(map[string]any{
		"apiVersion": "monitoring.coreos.com/v1",
		"kind":       "PrometheusRule",
		"metadata":   map[string]any{"name": "novawire-" + g.Name, "namespace": g.Namespace},
		"spec":       map[string]any{"groups": []ruleGroup{g.rules()}},
	})
}

// RuleFile returns the groups as a rule file of a plain Prometheus.
func RuleFile(groups []Group) ([]byte, error) {
	var all []ruleGroup
	for _, g := range groups {
		all = append(all, g.rules())
	}
	return marshal(map[string]any{"groups": all})
}

func marshal(object any) ([]byte, error) {
	text, err := yaml.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode alerts: %w", err)
	}
	return append([]byte(generated), text...), nil
}
