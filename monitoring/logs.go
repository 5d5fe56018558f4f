package monitoring

import "time"

// logs watches Fluent Bit, the plugin and the agent.
func logs() Group {
	commands := []string{
		"kubectl -n novawire-logging get pods -o wide",
		"kubectl -n novawire-logging logs POD -c fluent-bit --tail=100",
		"kubectl -n novawire-logging logs POD -c agent --tail=100",
	}
	return Group{
		Name: "logs", Namespace: "novawire-logging", Title: "Logs",
		Alerts: []Alert{
			{
				Name: "NovawireLogsDropped", Severity: Critical,
				Expr:        `increase(fluentbit_output_dropped_records_total[10m]) > 0`,
				Summary:     "Fluent Bit on {{ $labels.instance }} has dropped {{ $value | humanize }} log records.",
				Description: "The chunks that wait for delivery exceed storage.total_limit_size, so the oldest are dropped. Restore delivery to CloudWatch Logs, or raise the limit.",
				Meaning:     "Lines are lost: the buffer on disk is full.",
				Commands:    commands,
				Cause:       `Delivery has failed for long (NovawireLogsNotDelivered). See "An outage of CloudWatch Logs" in docs/logs.md.`,
			},
			{
				Name: "NovawireLogsRejected", Severity: Warning,
				Expr:        `sum by (instance, reason) (increase(novawire_logs_rejected_total[10m])) > 0`,
				Summary:     "CloudWatch Logs has not stored {{ $value | humanize }} events of {{ $labels.instance }} ({{ $labels.reason }}).",
				Description: "The table of reasons in docs/logs.md explains them.",
				Meaning:     "CloudWatch Logs refuses single events, for example because they are too old. They are counted and not retried.",
				Commands:    commands,
				Cause:       "The table of reasons in docs/logs.md.",
			},
			{
				Name: "NovawireLogsNotDelivered", Severity: Critical,
				Expr:        `novawire_logs_failing_seconds > 300`,
				Summary:     "{{ $labels.instance }} has delivered no logs for {{ $value | humanizeDuration }}.",
				Description: `Every request to CloudWatch Logs fails; lines wait on disk. The log of the pod says why ("delivery failed; will retry").`,
				Meaning:     "Every request to CloudWatch Logs has failed for five minutes. Lines wait on disk, so nothing is lost yet.",
				Commands:    commands,
				Cause:       "A missing permission of the IAM role, the network, or an outage of the service.",
			},
			{
				Name: "NovawireLogsRetried", Severity: Warning, For: 30 * time.Minute,
				Expr:        `sum by (instance) (increase(novawire_logs_retried_total[10m])) > 0`,
				Summary:     "Some requests of {{ $labels.instance }} to CloudWatch Logs have been failing for half an hour.",
				Description: `The log of the pod says why ("delivery failed; will retry"). Lines wait on disk.`,
				Meaning:     "Lines of one or more log groups are delivered late or not at all. They wait on disk.",
				Commands:    commands,
				Cause:       "A single log group is denied, or the account is throttled (novawire_logs_throttled_total).",
			},
			{
				Name: "NovawireLogsInputPaused", Severity: Critical, For: time.Minute,
				Expr:        `max_over_time(fluentbit_input_ingestion_paused{name=~"tail.*"}[2m]) > 0`,
				Summary:     "Fluent Bit on {{ $labels.instance }} does not read log files.",
				Description: "Files that rotate in the meantime are lost. Check that storage.pause_on_chunks_overlimit is off and that the node's disk is not full.",
				Meaning:     "Fluent Bit has paused its input. Files that rotate in the meantime are lost.",
				Commands:    commands,
				Cause:       "storage.pause_on_chunks_overlimit is on, or the node's disk is full.",
			},
			{
				Name: "NovawireLogsInputBehind", Severity: Warning, For: 5 * time.Minute,
				Expr:        `novawire_logs_input_lag_seconds > 300`,
				Summary:     "{{ $labels.instance }} reads lines {{ $value | humanizeDuration }} after they were written.",
				Description: "The node lacks CPU, or Fluent Bit was stopped and is catching up.",
				Meaning:     "Fluent Bit reads lines late.",
				Commands:    commands,
				Cause:       "The node lacks CPU, or Fluent Bit was stopped and is catching up.",
			},
			{
				Name: "NovawireLogsPodsUnknown", Severity: Warning, For: 10 * time.Minute,
				Expr:        `novawire_logs_pods_synced == 0 or novawire_logs_files{state=~"undecided|held"} > 0`,
				Summary:     "The agent on {{ $labels.instance }} does not know all pods of its node.",
				Description: "The API server does not answer it (novawire_logs_api_errors_total). Known pods are tailed as before; lines of unknown pods go to the group undecided_log_group.",
				Meaning:     "The agent beside Fluent Bit cannot read pods or namespaces from the API server. No line is lost.",
				Commands:    commands,
				Cause:       "The API server cannot be reached, or a missing right (RBAC).",
			},
		},
	}
}
