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
	// Logs is a query of CloudWatch Logs Insights, in place of Queries.
	Logs string
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
		{"The account of the cluster, over all pods", []Panel{
			table("Loss since the account began, by service", "percentunit", Query{`(sum by (namespace, service) (novawire_telemetry_items_total{outcome="dropped"}) + sum by (namespace, service) (novawire_telemetry_unaccounted_items)) / sum by (namespace, service) (novawire_telemetry_items_total{outcome="accepted"})`, "{{namespace}}/{{service}}"}),
			graph("Bytes per second, by service", "Bps", Query{`topk(10, sum by (namespace, service) (rate(novawire_telemetry_exported_bytes_total[5m])))`, "{{namespace}}/{{service}}"}),
			table("Held by killed sidecars, by service", "short", Query{`sum by (namespace, service, signal) (novawire_telemetry_unaccounted_items) > 0`, "{{namespace}}/{{service}}"}),
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
		{"Logs with a trace", []Panel{
			{Title: "Warnings and errors, with links to their traces", Kind: Table, Logs: `fields @timestamp, level, message, trace_id, xray_trace_id, kubernetes.pod_name | filter ispresent(trace_id) and level in ["WARN", "ERROR"] | sort @timestamp desc | limit 100`},
		}},
		{"Pods", []Panel{
			graph("Scraped pods", "short", Query{`sum(min by (pod) (up` + of + `))`, "pods"}),
			graph("CPU", "short", Query{`sum by (pod) (rate(process_cpu_seconds_total` + of + `[5m]))`, "{{pod}}"}),
			graph("Memory", "bytes", Query{`sum by (pod) (process_resident_memory_bytes` + of + `)`, "{{pod}}"}),
		}},
	}}
}

func graph(title, unit string, queries ...Query) Panel {
	return Panel{Title: title, Kind: Graph, Unit: unit, Queries: queries}
}

func table(title, unit string, query Query) Panel {
	return Panel{Title: title, Kind: Table, Unit: unit, Queries: []Query{query}}
}

func stat(title, unit, expr string) Panel {
	return Panel{Title: title, Kind: Stat, Unit: unit, Queries: []Query{{expr, ""}}}
}

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
			if p.Logs != "" { // alone in its row
				panels = append(panels, p.logs(id, position(0, y, gridWidth, panelHeight)))
				continue
			}
			panels = append(panels, p.object(id, source, position(x*gridWidth/perLine, y+i/perLine*panelHeight, gridWidth/perLine, panelHeight)))
		}
		y += (len(row.Panels) + perLine - 1) / perLine * panelHeight
	}
	variables := []any{map[string]any{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}}
	if d.UID == "nova-service" {
		variables = append(variables,
			variable("namespace", `label_values(up{service!=""}, namespace)`, source),
			variable("service", `label_values(up{namespace="$namespace"}, service)`, source),
			map[string]any{"name": "cloudwatch", "type": "datasource", "query": "cloudwatch", "label": "Logs"},
			text("region", "Region", "eu-west-1"), text("jaeger", "URL of Jaeger", "http://jaeger.example.com:16686"))
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

// logs returns a table of log events. A trace id is a link: to Jaeger in its own form, to X-Ray
// in X-Ray's.
func (p Panel) logs(id int, position any) map[string]any {
	source := map[string]any{"type": "cloudwatch", "uid": "${cloudwatch}"}
	link := func(field, title, url string) map[string]any {
		return map[string]any{
			"matcher":    map[string]any{"id": "byName", "options": field},
			"properties": []any{map[string]any{"id": "links", "value": []any{map[string]any{"title": title, "url": url, "targetBlank": true}}}},
		}
	}
	return map[string]any{
		"id": id, "type": string(p.Kind), "title": p.Title, "datasource": source, "gridPos": position,
		"targets": []any{map[string]any{
			"refId": "A", "datasource": source, "queryMode": "Logs", "region": "$region", "logGroupNames": []string{logGroup}, "expression": p.Logs,
		}},
		"fieldConfig": map[string]any{"defaults": map[string]any{}, "overrides": []any{
			link("trace_id", "Trace in Jaeger", "${jaeger}/trace/${__value.raw}"),
			link("xray_trace_id", "Trace in X-Ray", "https://${region}.console.aws.amazon.com/cloudwatch/home?region=${region}#xray:traces/${__value.raw}"),
		}},
	}
}

// logGroup is the plugin's default of log_group, for the service of the dashboard.
const logGroup = "/nova/$namespace/$service"

func position(x, y, w, h int) map[string]int { return map[string]int{"x": x, "y": y, "w": w, "h": h} }

func text(name, label, value string) map[string]any {
	return map[string]any{"name": name, "type": "textbox", "label": label, "query": value}
}

func variable(name, query string, source any) map[string]any {
	return map[string]any{"name": name, "type": "query", "datasource": source, "query": query, "refresh": 2, "sort": 1}
}
