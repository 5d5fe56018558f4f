package monitoring

import "time"

// sidecar watches the collectors in the wired pods.
func sidecar() Group {
	commands := []string{
		"kubectl -n NAMESPACE logs POD -c novawire-collector --tail=100",
		"kubectl -n NAMESPACE describe pod POD",
		"kubectl -n observability get pods",
	}
	return Group{
		Name: "sidecar", Namespace: "novawire-system", Title: "Sidecars",
		Alerts: []Alert{
			{
				Name: "NovawireSidecarDropped", Severity: Warning,
				Expr:        `sum by (namespace, pod, signal, reason) (increase(novawire_sidecar_dropped_total[10m])) > 0`,
				Summary:     "The sidecar of {{ $labels.namespace }}/{{ $labels.pod }} dropped {{ $value | humanize }} {{ $labels.signal }} ({{ $labels.reason }}).",
				Description: "docs/sidecar.md explains the reasons. The app is not affected.",
				Meaning:     "Telemetry was accepted from the app and could not be delivered. The app is not affected.",
				Commands:    commands,
				Cause:       "The backend is down or too slow (`queue_full`, `retry_limit`), or refuses the data.",
			},
			{
				Name: "NovawireSidecarRefused", Severity: Warning,
				Expr:        `sum by (namespace, pod, signal, reason) (increase(novawire_sidecar_refused_total[10m])) > 0`,
				Summary:     "The sidecar of {{ $labels.namespace }}/{{ $labels.pod }} refused {{ $value | humanize }} {{ $labels.signal }} ({{ $labels.reason }}).",
				Description: "The SDK was told to retry. docs/sidecar.md explains the reasons.",
				Meaning:     "The sidecar did not accept telemetry from the app, usually because its memory limit was reached.",
				Commands:    commands,
				Cause:       "More telemetry than the memory limit allows. Lower the sampling ratio or raise inject.nova.dev/sidecar-memory-limit.",
			},
			{
				Name: "NovawireSidecarQueueFilling", Severity: Warning, For: 10 * time.Minute,
				Expr:        `novawire_sidecar_queue_bytes / novawire_sidecar_queue_limit_bytes > 0.8`,
				Summary:     "The {{ $labels.signal }} queue of {{ $labels.namespace }}/{{ $labels.pod }} is {{ $value | humanizePercentage }} full.",
				Description: "When it is full, the oldest items are dropped.",
				Meaning:     "The backend takes telemetry more slowly than the app produces it, or not at all.",
				Commands:    commands,
				Cause:       "The backend is down, slow or throttles.",
			},
		},
	}
}
