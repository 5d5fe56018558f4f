package monitoring

import "time"

// webhook watches the manager: admission and its configuration.
func webhook() Group {
	logs := "kubectl -n novawire-system logs -l app.kubernetes.io/name=novawire --tail=200"
	pods := "kubectl -n novawire-system get pods -o wide"
	return Group{
		Name: "webhook", Namespace: "novawire-system", Title: "Webhook",
		Alerts: []Alert{
			{
				Name: "NovawireDown", Severity: Critical, For: 5 * time.Minute,
				Expr:        `absent(up{job="novawire"} == 1)`,
				Summary:     "Prometheus reaches no replica of novawire.",
				Description: "New pods may start without wiring, and backup alerts cannot fire.",
				Meaning:     "No replica of the manager answers Prometheus. The webhook fails open: apps start, but new pods may not be wired. Backup CronJobs still run. The other alerts of the manager cannot fire.",
				Commands:    []string{pods, "kubectl -n novawire-system describe deployment novawire", logs},
				Cause:       "The Deployment was deleted or cannot be scheduled, its image cannot be pulled, its configuration is refused, or the NetworkPolicy does not admit Prometheus' namespace.",
			},
			{
				Name: "NovawireFailOpen", Severity: Warning, For: 5 * time.Minute,
				Expr:        `sum(rate(novawire_admission_decisions_total{action="failed"}[5m])) / sum(rate(novawire_admission_decisions_total[5m])) > 0.01`,
				Summary:     "{{ $value | humanizePercentage }} of admission reviews failed; their pods are not wired.",
				Description: "The objects were admitted unchanged. The log names each one and the reason.",
				Meaning:     "The webhook could not decide some reviews and admitted the objects unchanged.",
				Commands:    []string{logs + ` | grep '"action":"failed"'`, pods, "novawire check certs"},
				Cause:       "A bug, or objects that this version cannot read. Restart the workloads that the log names after a fix.",
			},
			{
				Name: "NovawireAdmissionSlow", Severity: Warning, For: 10 * time.Minute,
				Expr:        `histogram_quantile(0.99, sum by (le, webhook) (rate(novawire_admission_duration_seconds_bucket[5m]))) > 0.25`,
				Summary:     "One of 100 reviews of the webhook {{ $labels.webhook }} takes longer than {{ $value | humanizeDuration }}.",
				Description: "API servers wait three seconds for the webhook, then admit the object unchanged.",
				Meaning:     "Reviews are slow. After three seconds the API server gives up and admits the object unchanged.",
				Commands:    []string{"kubectl -n novawire-system describe pods -l app.kubernetes.io/name=novawire", pods, logs},
				Cause:       "The CPU request is too low for the rate of pods, or the API server is slow to answer for namespaces that the cache does not have.",
			},
			{
				Name: "NovawireConfigReloadFailed", Severity: Warning,
				Expr:        `increase(novawire_config_reload_failures_total[15m]) > 0`,
				Summary:     "{{ $labels.pod }} refuses its new configuration and keeps the old one.",
				Description: "The log says which setting is wrong.",
				Meaning:     "The ConfigMap was changed and is wrong. The old configuration stays in force until the pod restarts; then it does not start.",
				Commands:    []string{logs + " | grep -i config", "kubectl -n novawire-system get configmap -o yaml", "kubectl -n novawire-system rollout history deployment/novawire"},
				Cause:       "A misspelt key or a wrong value. docs/configuration.md lists them.",
			},
		},
	}
}
