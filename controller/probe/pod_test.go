package probe

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
)

func TestWhyNot(t *testing.T) {
	enabled := map[string]string{injection.LabelWiring: injection.WiringEnabled}
	trusted := []admissionv1.MutatingWebhook{{ClientConfig: admissionv1.WebhookClientConfig{CABundle: []byte("CA")}}}
	for name, c := range map[string]struct {
		labels          map[string]string
		webhooks        []admissionv1.MutatingWebhook
		version         string
		wantCause, want string
	}{
		"the namespace is not opted in":                 {nil, trusted, "", "NotOptedIn", "kubectl label namespace novawire-probe nova.dev/wiring=enabled"},
		"the configuration has no webhooks":             {enabled, nil, "", "NoWebhooks", "has no webhooks"},
		"the configuration has no caBundle":             {enabled, []admissionv1.MutatingWebhook{{}}, "", "NoAuthority", "novawire check certs"},
		"the API server does not reach the webhook":     {enabled, trusted, "v1.34.1", "NotCalled", "A NetworkPolicy or a firewall has to admit the control plane to TCP port 10250 of the pods"},
		"the control plane of GKE does not reach it":    {enabled, trusted, "v1.34.1-gke.1829001", "NotCalled", "On a private GKE cluster a firewall rule"},
		"the control plane of EKS does not reach it":    {enabled, trusted, "v1.34.1-eks-113cf36", "NotCalled", "On EKS the security group of the nodes"},
		"the version of the API server is not readable": {enabled, trusted, "", "NotCalled", "TCP port 10250"},
	} {
		t.Run(name, func(t *testing.T) {
			mutating := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "novawire"}, Webhooks: c.webhooks}
			ns := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "novawire-probe", Labels: c.labels}}
			cause, text := whyNot(mutating, ns, client.ObjectKey{Namespace: "novawire-system", Name: "novawire"}, func() string { return c.version })
			if cause != c.wantCause || !strings.Contains(text, c.want) {
				t.Errorf("%s: %s\nwant %s: %s", cause, text, c.wantCause, c.want)
			}
		})
	}
}
