package monitoring

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Dashboard is a Grafana dashboard: rows of panels with PromQL expressions.
type Dashboard struct {
	UID, Title string
	Rows       []Row
}

// Row is a row of panels.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one panel.
type Panel struct {
	Title   string
	Kind    PanelKind
	Unit    string // of Grafana: s, bytes, short, percentunit, dateTimeFromNow, …
	Queries []Query
}

// PanelKind is Grafana's type of a panel.
type PanelKind string

// The kinds in use.
const (
	Graph PanelKind = "timeseries"
	Stat  PanelKind = "stat"
	Table PanelKind = "table"
)

// Query is an expression and its legend.
type Query struct{ Expr, Legend string }

// Dashboards returns all dashboards.
func Dashboards() []Dashboard {
	return []Dashboard{overviewDashboard(), backupDashboard(), telemetryDashboard(), logDashboard(), serviceDashboard()}
}

func overviewDashboard() Dashboard {
	return Dashboard{UID: "novawire-overview", Title: "Novawire: overview", Rows: []Row{
		{"At risk", []Panel{
			stat("Firing alerts", "short", `count(ALERTS{alertname=~"Nova.*",alertstate="firing"}) or vector(0)`),
			stat("Databases without backup", "short", `sum(max by (namespace, kind, name) (novawire_postgresql_unprotected)) or vector(0)`),
			stat("Oldest backup", "s", `max(time() - max by (namespace, statefulset, database) (novawire_backup_last_success_timestamp_seconds))`),
			stat("Certificate expires in", "s", `min(novawire_certificate_expiry_timestamp_seconds{kind="leaf"} - time())`),
		}},
		{"Admission", []Panel{
			graph("Decisions", "short", Query{`sum by (action) (increase(novawire_admission_decisions_total{webhook="pod"}[5m]))`, "{{action}}"}),
			graph("Skipped and failed, by reason", "short", Query{`sum by (action, reason) (increase(novawire_admission_decisions_total{action=~"skipped|failed"}[5m]))`, "{{action}}: {{reason}}"}),
			graph("Duration of reviews (p99)", "s", Query{`histogram_quantile(0.99, sum by (le, webhook) (rate(novawire_admission_duration_seconds_bucket[5m])))`, "{{webhook}}"}),
		}},
	}}
}

func backupDashboard() Dashboard {
	of := "{{namespace}}/{{statefulset}} {{database}}"
	return Dashboard{UID: "novawire-backups", Title: "Novawire: backups", Rows: []Row{
		{"Age", []Panel{
			table("Age of the last backup", "s", Query{`time() - max by (namespace, statefulset, database) (novawire_backup_last_success_timestamp_seconds)`, of}),
			table("Age of the last verified backup", "s", Query{`time() - max by (namespace, statefulset, database) (novawire_backup_last_verified_timestamp_seconds)`, of}),
			table("Databases without backup", "short", Query{`max by (namespace, kind, name, reason) (novawire_postgresql_unprotected) > 0`, "{{namespace}}/{{name}}"}),
		}},
		{"Runs", []Panel{
			graph("Backups per day (the calendar of nights)", "short", Query{`max by (namespace, statefulset, database) (changes(novawire_backup_last_success_timestamp_seconds[1d]))`, of}),
			graph("Size as dumped", "bytes", Query{`max by (namespace, statefulset, database) (novawire_backup_size_bytes)`, of}),
			graph("Size as stored", "bytes", Query{`max by (namespace, statefulset, database) (novawire_backup_stored_bytes)`, of}),
			graph("Duration of backups", "s", Query{`max by (namespace, statefulset, database) (novawire_backup_duration_seconds)`, of}),
			graph("Duration of drills", "s", Query{`max by (namespace, statefulset, database) (novawire_backup_drill_duration_seconds)`, of}),
			graph("Failures", "short", Query{`max by (namespace, statefulset, category) (novawire_backup_failures_total)`, "{{namespace}}/{{statefulset}} {{category}}"}),
		}},
	}}
}

func telemetryDashboard() Dashboard {
	return Dashboard{UID: "novawire-telemetry", Title: "Novawire: telemetry", Rows: []Row{
		{"Ledger", []Panel{
			graph("Accepted", "short", Query{`sum by (signal) (rate(novawire_sidecar_accepted_total[5m]))`, "{{signal}}"}),
			graph("Exported", "short", Query{`sum by (signal) (rate(novawire_sidecar_exported_total[5m]))`, "{{signal}}"}),
			graph("Dropped, by reason", "short", Query{`sum by (signal, reason) (rate(novawire_sidecar_dropped_total[5m]))`, "{{signal}}: {{reason}}"}),
			graph("Refused, by reason", "short", Query{`sum by (signal, reason) (rate(novawire_sidecar_refused_total[5m]))`, "{{signal}}: {{reason}}"}),
		}},
		{"Queues", []Panel{
			graph("Fullest queues", "percentunit", Query{`topk(10, novawire_sidecar_queue_bytes / novawire_sidecar_queue_limit_bytes)`, "{{namespace}}/{{pod}} {{signal}}"}),
			graph("Retries", "short", Query{`sum by (signal) (rate(novawire_sidecar_retries_total[5m]))`, "{{signal}}"}),
			table("Losses of the last hour, by pod", "short", Query{`sum by (namespace, pod, signal, reason) (increase(novawire_sidecar_dropped_total[1h])) > 0`, "{{namespace}}/{{pod}}"}),
		}},
	}}
}

func logDashboard() Dashboard {
	return Dashboard{UID: "novawire-logs", Title: "Novawire: logs", Rows: []Row{
		{"Events", []Panel{
			graph("Accepted", "short", Query{`sum(rate(novawire_logs_accepted_total[5m]))`, "accepted"}),
			graph("Delivered", "short", Query{`sum(rate(novawire_logs_delivered_total[5m]))`, "delivered"}),
			graph("Rejected, by reason", "short", Query{`sum by (reason) (rate(novawire_logs_rejected_total[5m]))`, "{{reason}}"}),
		}},
		{"Delay", []Panel{
			graph("Delay from log line to Fluent Bit", "s", Query{`max by (instance) (novawire_logs_input_lag_seconds)`, "{{instance}}"}),
			graph("Delivery has failed for", "s", Query{`max by (instance) (novawire_logs_failing_seconds)`, "{{instance}}"}),
			graph("Throttled requests", "short", Query{`sum by (instance) (rate(novawire_logs_throttled_total[5m]))`, "{{instance}}"}),
		}},
	}}
}

// serviceDashboard shows one of Nova's services, chosen by the variables namespace and service.
func serviceDashboard() Dashboard {
	const matchers = `namespace="$namespace",service="$service"`
	const of = `{` + matchers + `}`
	sum := func(expr, counter string) string { return "sum" + ofPods(expr, counter, ","+matchers) }
	ratio := func(prefix string) string {
		return sum("rate(%s[5m])", prefix+"_errors_total") + " / " + sum("rate(%s[5m])", prefix+"_requests_total")
	}
	return Dashboard{UID: "nova-service", Title: "Nova: one service", Rows: []Row{
		{"Requests, errors", []Panel{
			graph("HTTP requests", "reqps", Query{sum("rate(%s[5m])", "http_server_requests_total"), "requests"}),
			graph("Share of HTTP requests that fail", "percentunit", Query{ratio("http_server"), "errors"}),
			graph("Share of gRPC calls that fail", "percentunit", Query{ratio("grpc_client"), "errors"}),
			graph("Redis timeouts", "short", Query{sum("increase(%s[5m])", "redis_timeout_total"), "timeouts"}),
		}},
		{"Pods", []Panel{
			graph("Scraped pods", "short", Query{`sum(min by (pod) (up` + of + `))`, "pods"}),
			graph("CPU", "short", Query{`sum by (pod) (rate(process_cpu_seconds_total` + of + `[5m]))`, "{{pod}}"}),
			graph("Memory", "bytes", Query{`sum by (pod) (process_resident_memory_bytes` + of + `)`, "{{pod}}"}),
		}},
	}}
}

func graph(title, unit string, queries ...Query) Panel { return Panel{title, Graph, unit, queries} }

func table(title, unit string, query Query) Panel { return Panel{title, Table, unit, []Query{query}} }

func stat(title, unit, expr string) Panel { return Panel{title, Stat, unit, []Query{{expr, ""}}} }

const (
	gridWidth   = 24
	panelHeight = 8
	perLine     = 3
)

// JSON returns the dashboard as Grafana reads it.
func (d Dashboard) JSON() ([]byte, error) {
	source := map[string]any{"type": "prometheus", "uid": "${datasource}"}
	var panels []any
	id, y := 0, 0
	for _, row := range d.Rows {
		id++
		panels = append(panels, map[string]any{"id": id, "type": "row", "title": row.Title, "collapsed": false, "panels": []any{}, "gridPos": position(0, y, gridWidth, 1)})
		y++
		for i, p := range row.Panels {
			id++
			x := i % perLine
			panels = append(panels, p.object(id, source, position(x*gridWidth/perLine, y+i/perLine*panelHeight, gridWidth/perLine, panelHeight)))
		}
		y += (len(row.Panels) + perLine - 1) / perLine * panelHeight
	}
	variables := []any{map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}}
	if d.UID == "nova-service" {
		variables = append(variables,
			variable("namespace", `label_values(up{service!=""}, namespace)`, source),
			variable("service", `label_values(up{namespace="$namespace"}, service)`, source))
	}
	text, err := json.MarshalIndent(map[string]any{
		"uid": d.UID, "title": d.Title, "tags": []string{"nova"}, "schemaVersion": 39, "editable": false,
		"time": map[string]any{"from": "now-24h", "to": "now"}, "refresh": "1m",
		"templating": map[string]any{"list": variables}, "panels": panels,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode dashboard %s: %w", d.UID, err)
	}
	return append(text, '\n'), nil
}

// ConfigMaps returns the dashboards as ConfigMaps with the label by which the sidecar of
// Grafana's Helm chart finds them.
func ConfigMaps(dashboards []Dashboard) ([]byte, error) {
	out := []byte(generated)
	for i, d := range dashboards {
		text, err := d.JSON()
		if err != nil {
			return nil, err
		}
		object, err := yaml.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": "dashboard-" + d.UID, "namespace": "novawire-system", "labels": map[string]string{"grafana_dashboard": "1"}},
			"data":     map[string]string{d.UID + ".json": string(text)},
		})
		if err != nil {
			return nil, fmt.Errorf("encode dashboard %s: %w", d.UID, err)
		}
		if i > 0 {
			out = append(out, "---\n"...)
		}
		out = append(out, object...)
	}
	return out, nil
}

func (p Panel) object(id int, source, position any) map[string]any {
	var targets []any
	for i, q := range p.Queries {
		target := map[string]any{"refId": string(rune('A' + i)), "datasource": source, "expr": q.Expr, "legendFormat": q.Legend}
		if p.Kind == Table {
			target["instant"], target["format"] = true, "table"
		}
		targets = append(targets, target)
	}
	return map[string]any{
		"id": id, "type": string(p.Kind), "title": p.Title, "datasource": source, "gridPos": position, "targets": targets,
		"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.Unit}, "overrides": []any{}},
	}
}

func position(x, y, w, h int) map[string]int { return map[string]int{"x": x, "y": y, "w": w, "h": h} }

func variable(name, query string, source any) map[string]any {
	return map[string]any{"name": name, "type": "query", "datasource": source, "query": query, "refresh": 2, "sort": 1}
}
