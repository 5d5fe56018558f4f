package charts

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/nova/novawire/internal/testing/cluster"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

const everything = `
backup: {secretCheck: true, watchSecrets: true}
monitoring: {rules: true, monitors: true}
logging: {enabled: true, awsRegion: eu-west-1}
namespace: {create: true}
certificates: {mode: cert-manager}
`

const nothing = `
backup: {enabled: false}
logging: {enabled: false}
networkPolicy: {enabled: false}
priorityClass: {create: false}
podDisruptionBudget: {enabled: false}
`

func TestOptional(t *testing.T) {
	t.Run("the least installation has admission alone", func(t *testing.T) {
		kinds := map[string]int{}
		for _, o := range mustRender(t, "novawire-system", nothing) {
			kinds[o.GetKind()]++
			if text, _ := json.Marshal(o.Object); strings.Contains(string(text), "backup") {
				t.Errorf("%s %s is about backup", o.GetKind(), o.GetName())
			}
		}
		for kind := range kinds {
			switch kind {
			case "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap", "Deployment", "Service",
				"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			default:
				t.Errorf("%s is not optional", kind)
			}
		}
	})
	t.Run("each part can be left out alone", func(t *testing.T) {
		for _, c := range []struct{ values, kind, name string }{
			{"backup: {enabled: false}", "ClusterRole", "novawire-backup"},
			{"backup: {enabled: false}", "Role", "novawire-lease"},
			{"backup: {enabled: false}", "PrometheusRule", "novawire-backup"},
			{"backup: {secretCheck: false}", "ClusterRole", "novawire-backup-secret-check"},
			{"backup: {watchSecrets: false}", "ClusterRole", "novawire-backup-secrets"},
			{"logging: {enabled: false}", "DaemonSet", "fluent-bit"},
			{"logging: {enabled: false}", "PodMonitor", "novawire-fluent-bit"},
			{"logging: {enabled: false}", "PrometheusRule", "novawire-logs"},
			{"logging: {createNamespace: false}", "Namespace", "novawire-logging"},
			{"namespace: {create: false}", "Namespace", "novawire-system"},
			{"monitoring: {rules: false}", "PrometheusRule", "novawire-certificates"},
			{"monitoring: {monitors: false}", "PodMonitor", "novawire-fluent-bit"},
			{"monitoring: {monitors: false}", "PodMonitor", "nova-pods"},
			{"monitoring: {monitors: false}", "ServiceMonitor", "novawire"},
			{"networkPolicy: {enabled: false}", "NetworkPolicy", "deny"},
			{"priorityClass: {create: false}", "PriorityClass", "novawire"},
			{"podDisruptionBudget: {enabled: false}", "PodDisruptionBudget", "novawire"},
			{"certificates: {mode: self}", "Certificate", "novawire"},
			{"certificates: {mode: files}", "Issuer", "novawire"},
		} {
			t.Run(c.values+" "+c.kind, func(t *testing.T) {
				if !has(mustRender(t, "novawire-system", everything), c.kind, c.name) {
					t.Errorf("%s %s is not there with everything on", c.kind, c.name)
				}
				if has(mustRender(t, "novawire-system", everything, c.values), c.kind, c.name) {
					t.Errorf("%s %s stays", c.kind, c.name)
				}
			})
		}
	})
}

func has(all []unstructured.Unstructured, kind, name string) bool {
	for _, o := range all {
		if o.GetKind() == kind && o.GetName() == name {
			return true
		}
	}
	return false
}

// TestAccepted applies what the chart renders, by server-side apply in a dry run, to
// a real API server that knows every field.
func TestAccepted(t *testing.T) {
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string][]string{
		"defaults": {""}, "everything": {everything}, "nothing": {nothing}, "prod": {"prod-values.yaml"},
		"repair": {"admissionProbe: {enabled: true, restoreWebhooks: true}\nrepair: {enabled: true}"},
		"pull":   {everything, "image: {pullPolicy: Always, pullSecrets: [mirror], registry: 'registry.example.com:5000/nova'}\nmanager: {podLabels: {a: b}, podAnnotations: {a: b}, nodeSelector: {a: b}, tolerations: [{operator: Exists}], extraArgs: [--config-interval=1m], logLevel: debug}"},
	} {
		t.Run(name, func(t *testing.T) {
			rendered := mustRender(t, "platform", values...)
			for _, namespace := range []string{"platform", "novawire-logging", "novawire-probe"} {
				ensureNamespace(t.Context(), t, c, namespace)
			}
			for _, o := range rendered {
				err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(&o), client.DryRunAll, client.FieldOwner("test"), client.ForceOwnership)
				if err != nil && !meta.IsNoMatchError(err) {
					t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
				}
				if ns := o.GetNamespace(); ns != "" && ns != "platform" && ns != "novawire-logging" && ns != "novawire-probe" {
					t.Errorf("%s %s is in namespace %s", o.GetKind(), o.GetName(), ns)
				}
				if text, _ := json.Marshal(o.Object); strings.Contains(string(text), "novawire-system") {
					t.Errorf("%s %s mentions novawire-system: %s", o.GetKind(), o.GetName(), text)
				}
			}
		})
	}
}

func ensureNamespace(ctx context.Context, t *testing.T, c client.Client, name string) {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	if err := c.Create(ctx, o); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
}

func TestImages(t *testing.T) {
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
	for _, c := range []struct {
		name, values string
		want         []string
		config       string // part of the manager's configuration
	}{
		{"defaults", "", []string{"fluent/fluent-bit:5.1.1", "ghcr.io/nova/novawire-fluentbit:v0.1.0", "ghcr.io/nova/novawire:v0.1.0"}, ""},
		{
			"a mirror is one value", "image: {registry: mirror.example.com/nova/}\nlogging: {fluentBit: {image: 'mirror.example.com/fluent-bit:5.1.1'}}",
			[]string{"mirror.example.com/fluent-bit:5.1.1", "mirror.example.com/nova/novawire-fluentbit:v0.1.0", "mirror.example.com/nova/novawire:v0.1.0"},
			"",
		},
		{"a tag is one value", "image: {tag: v0.2.0}", []string{"fluent/fluent-bit:5.1.1", "ghcr.io/nova/novawire-fluentbit:v0.2.0", "ghcr.io/nova/novawire:v0.2.0"}, ""},
		{
			"a digest wins; the other two keep the release's tag", "manager: {image: {digest: '" + digest + "'}}",
			[]string{"fluent/fluent-bit:5.1.1", "ghcr.io/nova/novawire-fluentbit:v0.1.0", "ghcr.io/nova/novawire@" + digest},
			"image: ghcr.io/nova/novawire-sidecar:v0.1.0",
		},
		{
			"a digest of the sidecar", "sidecar: {image: {digest: '" + digest + "'}}",
			[]string{"fluent/fluent-bit:5.1.1", "ghcr.io/nova/novawire-fluentbit:v0.1.0", "ghcr.io/nova/novawire:v0.1.0"},
			"image: ghcr.io/nova/novawire-sidecar@" + digest,
		},
		{
			"a digest of pg-backup", "backup: {image: {digest: '" + digest + "'}}",
			[]string{"fluent/fluent-bit:5.1.1", "ghcr.io/nova/novawire-fluentbit:v0.1.0", "ghcr.io/nova/novawire:v0.1.0"},
			"image: ghcr.io/nova/pg-backup@" + digest,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			rendered := mustRender(t, "novawire-system", "logging: {enabled: true, awsRegion: eu-west-1}", c.values)
			if got := images(rendered); strings.Join(got, " ") != strings.Join(c.want, " ") {
				t.Errorf("images %q, want %q", got, c.want)
			}
			for _, o := range rendered {
				if o.GetName() == "novawire-config" {
					text, _, _ := unstructured.NestedString(o.Object, "data", "config.yaml")
					if has := strings.Contains(text, "image: "); has != (c.config != "") || !strings.Contains(text, c.config) {
						t.Errorf("want %q in\n%s", c.config, text)
					}
				}
			}
		})
	}
}

func TestSchema(t *testing.T) {
	for _, c := range []struct{ name, values, want string }{
		{"an unknown key", "manger: {replicas: 3}", "manger"},
		{"an unknown key of a section", "manager: {replica: 3}", "replica"},
		{"a string for a number", "manager: {replicas: two}", "replicas"},
		{"no replica", "manager: {replicas: 0}", "replicas"},
		{"a registry with a space", "image: {registry: 'ghcr.io /nova'}", "registry"},
		{"a tag with a colon", "image: {tag: 'v1:2'}", "tag"},
		{"a digest without its algorithm", "sidecar: {image: {digest: abc}}", "digest"},
		{"an unknown mode of certificates", "certificates: {mode: vault}", "mode"},
		{"logging without a Region", "logging: {enabled: true}", "awsRegion"},
		{"a name that is no Region", "logging: {awsRegion: Frankfurt}", "awsRegion"},
		{"a pull policy", "image: {pullPolicy: Sometimes}", "pullPolicy"},
		{"repair without the probe", "repair: {enabled: true}", "admissionProbe.enabled"},
		{"webhooks put back without the probe", "admissionProbe: {restoreWebhooks: true}", "admissionProbe.enabled"},
		{"repair without the controllers", "repair: {enabled: true}\nadmissionProbe: {enabled: true}\nbackup: {enabled: false}", "backup.enabled"},
		{"a flag without dashes", "manager: {extraArgs: [debug]}", "extraArgs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(t, "novawire-system", c.values)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: want a refusal that names %s", err, c.want)
			}
		})
	}
}
