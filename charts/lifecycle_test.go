package charts

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/testing/cluster"
)

// TestLifecycle installs, upgrades, rolls back and removes the chart on a real API server.
// There is no kubelet, so no pod starts: that the objects are right is tested, and that
// what the manager writes survives.
func TestLifecycle(t *testing.T) {
	config := cluster.Config(t)
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, cluster.Kubeconfig(t, config), 0o600); err != nil {
		t.Fatal(err)
	}
	const namespace = "lifecycle"
	ensureNamespace(t.Context(), t, c, namespace)
	for _, o := range mustRender(t, namespace) { // other tests leave cluster-wide ones
		_ = c.Delete(context.Background(), &o)
	}
	home := t.TempDir()
	helm := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program(t, "NOVAWIRE_HELM", ""), append(args, "--namespace", namespace, "--kubeconfig", kubeconfig)...)
		cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home)
		var out, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("helm %s: %v: %s", strings.Join(args, " "), err, &stderr)
		}
		return out.String()
	}
	deployment := func() appsv1.Deployment {
		t.Helper()
		var d appsv1.Deployment
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "novawire"}, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	bundle := func() string {
		t.Helper()
		var w admissionv1.MutatingWebhookConfiguration
		if err := c.Get(t.Context(), client.ObjectKey{Name: "novawire"}, &w); err != nil {
			t.Fatal(err)
		}
		return string(w.Webhooks[0].ClientConfig.CABundle)
	}
	helm("install", "novawire", chart, "--set", "image.tag=v0.1.0")
	first := deployment().Spec.Template.Spec.Containers[0]
	if !strings.HasSuffix(first.Image, "/novawire:v0.1.0") || slices.Contains(first.Args, "webhook") {
		t.Errorf("installed %s %q", first.Image, first.Args)
	}
	written := writeBundle(t, c)
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = namespace, "novawire-ca" // the manager makes it
	if err := c.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		args []string
		tag  string
		log  bool
	}{
		{"an upgrade", []string{"upgrade", "novawire", chart, "--set", "image.tag=v0.2.0,manager.logLevel=debug"}, "v0.2.0", true},
		{"a rollback", []string{"rollback", "novawire", "1"}, "v0.1.0", false},
		{"an upgrade that changes nothing", []string{"upgrade", "novawire", chart, "--reuse-values"}, "v0.1.0", false},
	} {
		t.Run(step.name+" changes the Deployment and leaves what the manager writes", func(t *testing.T) {
			before := deployment()
			helm(step.args...)
			got := deployment().Spec.Template.Spec.Containers[0]
			if !strings.HasSuffix(got.Image, "/novawire:"+step.tag) || slices.Contains(got.Args, "--log-level=debug") != step.log {
				t.Errorf("%s %q", got.Image, got.Args)
			}
			if step.tag == "v0.1.0" && !step.log {
				if diff := cmp.Diff(first, got); diff != "" {
					t.Errorf("it differs from the first installation:\n%s", diff)
				}
			}
			if step.name == "an upgrade that changes nothing" && deployment().Generation != before.Generation {
				t.Error("pods would restart")
			}
			if bundle() != written {
				t.Error("the caBundle is gone: every review fails until the manager writes it again")
			}
		})
	}
	helm("uninstall", "novawire")
	t.Run("removal leaves the namespace and the manager's Secret alone", func(t *testing.T) {
		for _, o := range mustRender(t, namespace, "namespace: {create: false}") {
			live := unstructured.Unstructured{}
			live.SetGroupVersionKind(o.GroupVersionKind())
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(&o), &live); !apierrors.IsNotFound(err) && live.GetDeletionTimestamp() == nil {
				t.Errorf("%s %s is still there: %v", o.GetKind(), o.GetName(), err)
			}
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
			t.Error(err)
		}
	})
}

// writeBundle writes a caBundle as the certificates' owner does and returns it.
func writeBundle(t *testing.T, c client.Client) string {
	t.Helper()
	bundle, _, err := certutil.GenerateSelfSignedCertKey("novawire", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("admissionregistration.k8s.io/v1")
	o.SetKind("MutatingWebhookConfiguration")
	if err := c.Get(t.Context(), client.ObjectKey{Name: "novawire"}, o); err != nil {
		t.Fatal(err)
	}
	webhooks, _ := o.Object["webhooks"].([]any)
	owned := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": map[string]any{"name": "novawire"}, "webhooks": bundles(webhooks, bundle),
	}}
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(owned), client.FieldOwner("novawire-certs"), client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	return string(bundle)
}
