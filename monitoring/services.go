package monitoring

import (
	"fmt"
	"strings"
	"time"
)

const (
	logsNamespace   = "Nova/Logs"   // default of the Fluent Bit plugin
	backupNamespace = "Nova/Backup" // default of pg-backup
)

// The objective of Nova's services: 99.9 % of requests succeed.
const errorBudget = 0.001

// minimumRate is the traffic, in requests per second, below which a ratio means
// nothing.
const minimumRate = 0.1

// services watches the P0 indicators of Nova's services: http_server_errors_total,
// grpc_client_errors_total and redis_timeout_total, by the application or from spans.
func services() Group {
	return Group{
		Name: "services", Namespace: "novawire-system", Title: "Nova's services",
		Alerts: []Alert{
			burnRate("NovaHTTPServerErrorsFastBurn", "http_server", "HTTP requests", Critical, 14.4, "5m", "1h", 2*time.Minute),
			burnRate("NovaHTTPServerErrorsSlowBurn", "http_server", "HTTP requests", Warning, 6, "30m", "6h", 15*time.Minute),
			burnRate("NovaGRPCClientErrorsFastBurn", "grpc_client", "gRPC calls", Critical, 14.4, "5m", "1h", 2*time.Minute),
			burnRate("NovaGRPCClientErrorsSlowBurn", "grpc_client", "gRPC calls", Warning, 6, "30m", "6h", 15*time.Minute),
			anyError("NovaHTTPServerErrors", "http_server_errors_total", "answered HTTP requests with a server error"),
			anyError("NovaGRPCClientErrors", "grpc_client_errors_total", "had failed gRPC calls"),
			anyError("NovaRedisTimeouts", "redis_timeout_total", "had Redis timeouts"),
		},
	}
}

// ofPods applies an expression, which names a counter as %s, to the counter of each pod: to
// the application's own, or to the one that the sidecar makes of spans in a pod that has no
// own one, nor had one within the time that the expression looks back. So nothing counts
// twice.
func ofPods(expr, counter, matchers string) string {
	own, spans := counter+`{source!="spans"`+matchers+`}`, counter+`{source="spans"`+matchers+`}`
	apply := func(selector string) string { return strings.ReplaceAll(expr, "%s", selector) }
	return fmt.Sprintf("(%s or on (namespace, pod) (%s unless on (namespace, pod) %s))", apply(own), apply(spans), own)
}

// burnRate alerts if errors use up the budget factor times too fast, in a short and in
// a long window (The Site Reliability Workbook, "Alerting on SLOs").
func burnRate(name, prefix, what string, severity Severity, factor float64, short, long string, wait time.Duration) Alert {
	threshold := fmt.Sprintf("%.4g", factor*errorBudget)
	rate := func(counter, window string) string {
		return "sum by (namespace, service) " + ofPods("rate(%s["+window+"])", prefix+counter, "")
	}
	above := func(window string) string {
		return rate("_errors_total", window) + " / " + rate("_requests_total", window) + " > " + threshold
	}
	return Alert{
		Name: name, Severity: severity, For: wait,
		Expr: above(short) + " and " + above(long) +
			fmt.Sprintf(" and %s > %g", rate("_requests_total", long), minimumRate),
		Summary:     "{{ $value | humanizePercentage }} of the " + what + " of {{ $labels.namespace }}/{{ $labels.service }} fail.",
		Description: fmt.Sprintf("At this rate the error budget of 30 days (99.9 %% success) is used up in %s. Both windows, %s and %s, are above %s.", lasts(factor), short, long, threshold),
		Meaning:     fmt.Sprintf("The service fails so often that the error budget of 30 days lasts %s. Low traffic (less than %g requests per second) never fires.", lasts(factor), minimumRate),
		Commands:    serviceCommands(),
		Cause:       "A release, a dependency that is down, or a database without free connections. Roll back first if a release is recent: `kubectl -n NAMESPACE rollout undo deployment/SERVICE`.",
	}
}

func lasts(factor float64) string {
	return fmt.Sprintf("%.1f days", 30/factor)
}

// anyError alerts on the first error. A counter that starts at 1 has no increase, so
// the second half finds series that did not exist ten minutes ago.
func anyError(name, metric, what string) Alert {
	return Alert{
		Name: name, Severity: Warning,
		Expr: "sum by (namespace, service) " + ofPods("increase(%s[10m])", metric, "") + " > 0 or sum by (namespace, service) " +
			ofPods("(%s unless %s offset 10m)", metric, "") + " > 0",
		Summary:     "{{ $labels.namespace }}/{{ $labels.service }} " + what + " in the last 10 minutes.",
		Description: "{{ $value | humanize }} in 10 minutes ({{ $labels.namespace }}/{{ $labels.service }}, " + metric + ").",
		Meaning:     "The P0 indicator `" + metric + "` has grown. One error does not call anybody; the burn-rate alerts and the CloudWatch alarm (3 of 5 minutes) do.",
		Commands:    serviceCommands(),
		Cause:       "A single failed request, a restart of a dependency, or the start of an incident.",
		Alarm: &Alarm{
			Namespace: logsNamespace, Metric: metric, Per: PerService, Statistic: "Sum", Period: time.Minute, Periods: 5, Datapoints: 3,
			Compare: Above, Threshold: 0, Missing: MissingIsGood,
		},
	}
}

func serviceCommands() []string {
	return []string{
		"kubectl -n NAMESPACE get pods -l app=SERVICE",
		"kubectl -n NAMESPACE logs -l app=SERVICE --tail=200 | grep -E '\"level\":\"(ERROR|WARN)\"'",
		"kubectl -n NAMESPACE rollout history deployment/SERVICE",
	}
}
