package probe

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/nova/novawire/internal/testing/cluster"
)

func mutatingConfiguration() *admissionv1.MutatingWebhookConfiguration {
	none := admissionv1.SideEffectClassNone
	return &admissionv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: kindMutating},
		ObjectMeta: metav1.ObjectMeta{Name: "novawire", Labels: map[string]string{"app.kubernetes.io/name": "novawire"}},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "pods.inject.nova.dev", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none,
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "novawire-system", Name: "novawire"}},
		}},
	}
}

func managerDeployment() *appsv1.Deployment {
	labels := map[string]string{"app": "novawire"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "novawire-system", Name: "novawire", Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm", "team": "platform"},
			Annotations: map[string]string{"meta.helm.sh/release-name": "novawire", "note": "mine"},
		},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "webhook", Image: "novawire"}}},
		}},
	}
}

// A configuration that somebody deleted comes back as it was, with the rights of the component.
func TestRestore(t *testing.T) {
	config := cluster.Config(t)
	admin, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "novawire-system"}}
	if err := admin.Create(t.Context(), system); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	install(t, admin, "base/rbac.yaml", "components/admission-probe/probe.yaml", "components/webhook-restore/rbac.yaml")
	configuration := func() *admissionv1.MutatingWebhookConfiguration {
		return &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "novawire"}}
	}
	remove := func(o client.Object) {
		t.Helper()
		if err := admin.Delete(t.Context(), o); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	remove(configuration())
	deployment := managerDeployment()
	if err := admin.Create(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	var looked atomic.Int32 // how often the manager read its Deployment
	metrics := startProbe(t, config, Options{RestoreAfter: time.Second, Shipped: map[string]client.Object{kindMutating: mutatingConfiguration()}}, &looked)
	back := func() *admissionv1.MutatingWebhookConfiguration {
		t.Helper()
		c := configuration()
		eventually(t, "the configuration is put back", func() bool { return admin.Get(t.Context(), client.ObjectKeyFromObject(c), c) == nil })
		return c
	}
	t.Run("one that it has never seen comes from this version, with the labels of the installer", func(t *testing.T) {
		c := back()
		if diff := cmp.Diff(map[string]string{"app.kubernetes.io/name": "novawire", "app.kubernetes.io/managed-by": "Helm"}, c.Labels); diff != "" {
			t.Errorf("labels: %s", diff)
		}
		if diff := cmp.Diff(map[string]string{"meta.helm.sh/release-name": "novawire"}, c.Annotations); diff != "" {
			t.Errorf("annotations: %s", diff)
		}
	})
	t.Run("one that it has seen comes back as it was", func(t *testing.T) {
		before := back()
		before.Annotations["cert-manager.io/inject-ca-from"] = "novawire-system/novawire"
		seconds := int32(7)
		before.Webhooks[0].TimeoutSeconds = &seconds
		if err := admin.Update(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		touched := looked.Load()
		remove(configuration())
		after := back()
		if diff := cmp.Diff(before.Webhooks, after.Webhooks); diff != "" {
			t.Errorf("webhooks: %s", diff)
		}
		if diff := cmp.Diff(before.Annotations, after.Annotations); diff != "" {
			t.Errorf("annotations: %s", diff)
		}
		eventually(t, "it is counted", func() bool { return testutil.ToFloat64(metrics.restored.WithLabelValues(kindMutating)) == 2 })
		if looked.Load() == touched {
			t.Error("it did not look whether the installation is removed")
		}
	})
	t.Run("nothing comes back when the installation is removed", func(t *testing.T) {
		remove(deployment)
		remove(configuration())
		touched := looked.Load()
		eventually(t, "it looked twice", func() bool { return looked.Load() >= touched+2 })
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(configuration()), configuration()); !apierrors.IsNotFound(err) {
			t.Errorf("the configuration: %v", err)
		}
	})
}

// startProbe starts a probe with the rights of the manifests, and counts how often it reads the
// manager's Deployment.
func startProbe(t *testing.T, config *rest.Config, o Options, looked *atomic.Int32) *Metrics {
	t.Helper()
	as := rest.CopyConfig(config)
	as.Impersonate.UserName = "manager"
	as.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return cluster.RoundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if r.URL.Path == "/apis/apps/v1/namespaces/novawire-system/deployments/novawire" {
				looked.Add(1)
			}
			return response, err
		})
	})
	mgr, err := manager.New(as, manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	o.Namespace, o.Configuration, o.Manager = "novawire-probe", "novawire", client.ObjectKey{Namespace: "novawire-system", Name: "novawire"}
	o.Interval, o.Retry, o.Metrics = time.Second, time.Second/2, NewMetrics(prometheus.NewRegistry())
	if err := Add(mgr, o); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return o.Metrics
}
