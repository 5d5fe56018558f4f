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
				Name: "NovawireWebhookConfigurationMissing", Severity: Critical,
				Expr:        `max by (kind) (novawire_webhook_configuration_present) == 0`,
				Summary:     "The {{ $labels.kind }} novawire does not exist.",
				Description: "API servers do not call the webhook: new pods are not wired (MutatingWebhookConfiguration), or wrong annotations are not refused (ValidatingWebhookConfiguration).",
				Meaning:     "Somebody or something deleted a webhook configuration. Apps start, and new pods are not wired, or nobody is warned about wrong annotations.",
				Commands:    []string{"kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations -l app.kubernetes.io/name=novawire", "kubectl -n novawire-system get events --field-selector reason=WebhookConfigurationMissing", logs},
				Cause:       "A clean-up by hand, an uninstallation that was interrupted, or a GitOps tool that prunes. Install it again (kubectl apply --server-side -k, or helm upgrade), then restart the workloads that docs/drift.md tells to find.",
			},
			{
				Name: "NovawireAdmissionProbeFails", Severity: Critical, For: 5 * time.Minute,
				Expr:        `max(novawire_admission_probe_success) == 0`,
				Summary:     "A pod that is created through the API server does not come back wired.",
				Description: "New pods are not wired. The log of the manager that leads and its Event AdmissionProbeFailed say why.",
				Meaning:     "The leading manager creates a pod as a dry run each minute, and the API server admits it without the webhook's changes, or refuses it. Apps start, but new pods are not wired.",
				Commands:    []string{"kubectl -n novawire-system get events --field-selector reason=AdmissionProbeFailed", "novawire check certs", "kubectl -n novawire-system get endpointslices -l kubernetes.io/service-name=novawire"},
				Cause:       "A firewall or NetworkPolicy between the control plane and TCP port 10250 of the pods, a caBundle that another tool changed, a Service without endpoints, or a changed webhook configuration.",
			},
			{
				Name: "NovawirePodsNotWired", Severity: Warning, For: 10 * time.Minute,
				Expr:        `sum by (namespace) (max by (namespace, state) (novawire_pods{state=~"missing|changed"})) > 0`,
				Summary:     "{{ $value }} pods of {{ $labels.namespace }} are not wired although the namespace opted in.",
				Description: "Their telemetry is missing until they are created again. An Event on each owner says why, with the command.",
				Meaning:     "Pods were created before the namespace opted in, or while the webhook did not answer, or they were changed after they were wired. docs/drift.md explains the states.",
				Commands:    []string{"kubectl -n NAMESPACE get events --field-selector reason=NotReviewed", "kubectl -n NAMESPACE get events --field-selector reason=ChangedAfterAdmission", "kubectl -n NAMESPACE get pods -L logging"},
				Cause:       "The webhook was away, or the namespace opted in later than its pods were created. Restart the workloads that the Events name, one first.",
			},
			{
				Name: "NovawirePodsStale", Severity: Warning, For: 24 * time.Hour,
				Expr:        `max by (namespace) (novawire_pods{state="stale"}) > 0`,
				Summary:     "{{ $value }} pods of {{ $labels.namespace }} are wired with an older configuration.",
				Description: "They keep the configuration and the sidecar image of the day that they were created.",
				Meaning:     "The configuration, or the image of the sidecar, was changed more than a day ago, and pods from before still run. docs/drift.md explains the states.",
				Commands:    []string{"kubectl -n NAMESPACE get events --field-selector reason=OlderConfiguration", "kubectl -n NAMESPACE get events --field-selector reason=OlderSidecarImage", "kubectl -n novawire-system rollout history deployment/novawire"},
				Cause:       "An upgrade or a changed ConfigMap. Restart the workloads when it suits; silence the alert if older pods may stay.",
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
