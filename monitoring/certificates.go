package monitoring

import "time"

// certificates watches the serving certificate of the webhook.
func certificates() Group {
	commands := []string{"novawire check certs", "kubectl -n novawire-system get pods", "kubectl -n novawire-system logs -l app.kubernetes.io/name=novawire --tail=200 | grep -i cert"}
	return Group{
		Name: "certificates", Namespace: "novawire-system", Title: "Certificates",
		Alerts: []Alert{
			{
				Name: "NovawireCertificateNotRenewed", Severity: Warning, For: 10 * time.Minute,
				Expr:        `novawire_certificate_expiry_timestamp_seconds - time() < clamp_max((novawire_certificate_expiry_timestamp_seconds - novawire_certificate_not_before_timestamp_seconds) / 4, 14 * 86400)`,
				Summary:     "The {{ $labels.kind }} certificate of {{ $labels.instance }} was not renewed.",
				Description: "It expires in {{ $value | humanizeDuration }}. It should have been renewed after two thirds of its lifetime.",
				Meaning:     "A certificate has less than 14 days left, or less than a quarter of a shorter lifetime. It is usually renewed when a third is left.",
				Commands:    commands,
				Cause:       "Rotation fails (see NovawireCertificateRotationFails), or in the modes files and cert-manager nobody renews the files.",
			},
			{
				Name: "NovawireCertificateExpired", Severity: Critical,
				Expr:        `novawire_certificate_expiry_timestamp_seconds < time()`,
				Summary:     "The {{ $labels.kind }} certificate of {{ $labels.instance }} has expired; new pods are not wired.",
				Description: "API servers refuse the connection and admit pods unchanged.",
				Meaning:     "API servers do not trust the webhook any more. Apps start, but new pods are not wired and wrong backup annotations are not refused.",
				Commands:    commands,
				Cause:       "Rotation has failed for a long time. In mode self, restart the replicas one by one; if that does not help, delete the Secret novawire-ca (docs/certificates.md).",
			},
			{
				Name: "NovawireCertificateRotationFails", Severity: Warning, For: 30 * time.Minute,
				Expr:        `time() - novawire_certificate_last_error_timestamp_seconds < 300`,
				Summary:     "Certificate rotation on {{ $labels.instance }} has failed for half an hour.",
				Description: `The log says why ("certificate reconciliation failed"). The current certificate is still valid.`,
				Meaning:     "The rotator cannot read or write the Secret or the webhook configurations. Nothing is lost yet: the current leaf is served until it expires.",
				Commands:    commands,
				Cause:       "A missing right (RBAC), an API server that cannot be reached, or another tool that overwrites the caBundle continuously.",
			},
		},
	}
}
