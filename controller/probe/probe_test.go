package probe

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(cluster.Run(m))
}

// objects are the kinds of the manifests that the test applies.
func objects() map[string]client.Object {
	return map[string]client.Object{
		"Namespace": &corev1.Namespace{}, "ClusterRole": &rbacv1.ClusterRole{}, "ClusterRoleBinding": &rbacv1.ClusterRoleBinding{},
		"Role": &rbacv1.Role{}, "RoleBinding": &rbacv1.RoleBinding{},
	}
}

// install applies the namespace and the rights of the manifests, for the user who stands for
// the manager's ServiceAccount.
func install(t *testing.T, c client.Client, files ...string) {
	t.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "manager"}}
	for _, file := range files {
		text, err := os.ReadFile("../../manifests/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Fatal(err)
			}
			o := objects()[kind.Kind]
			if o == nil {
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(document), o); err != nil {
				t.Fatal(err)
			}
			switch binding := o.(type) {
			case *rbacv1.ClusterRoleBinding:
				binding.Subjects = subjects
			case *rbacv1.RoleBinding:
				binding.Subjects = subjects
			}
			if err := c.Create(t.Context(), o); client.IgnoreAlreadyExists(err) != nil {
				t.Fatal(err)
			}
		}
	}
}

// The rights of the component are enough, for a probe of a cluster without and with a
// configuration, and they allow no pod elsewhere.
func TestProbe_Rights(t *testing.T) {
	config := cluster.Config(t)
	admin, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "novawire-system"}}
	if err := admin.Create(t.Context(), system); err != nil {
		t.Fatal(err)
	}
	install(t, admin, "base/rbac.yaml", "components/admission-probe/probe.yaml")
	as := rest.CopyConfig(config)
	as.Impersonate.UserName = "manager"
	mgr, err := manager.New(as, manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	metrics := NewMetrics(prometheus.NewRegistry())
	if err := Add(mgr, Options{
		Namespace: "novawire-probe", Configuration: "novawire", Manager: client.ObjectKey{Namespace: "novawire-system", Name: "novawire"},
		Interval: time.Second, Retry: time.Second, Metrics: metrics,
	}); err != nil {
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
	note := func(reason, cause string) string {
		var events eventsv1.EventList
		if err := admin.List(t.Context(), &events, client.InNamespace("novawire-system")); err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Items {
			if e.Reason == reason && e.Action == cause {
				return e.Note
			}
		}
		return ""
	}
	eventually(t, "both configurations are missed", func() bool {
		return note("WebhookConfigurationMissing", kindMutating) != "" && note("WebhookConfigurationMissing", kindValidating) != "" && testutil.CollectAndCount(metrics.success) == 1
	})
	none := admissionv1.SideEffectClassNone
	if err := admin.Create(t.Context(), &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "novawire"},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "pods.inject.nova.dev", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none,
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "novawire-system", Name: "novawire"}},
		}},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dry run is not refused, and its reason is told", func() bool {
		return strings.Contains(note("AdmissionProbeFailed", "NoAuthority"), "has no caBundle") && testutil.ToFloat64(metrics.present.WithLabelValues(kindMutating)) == 1
	})
	if refused := note("AdmissionProbeFailed", "Refused"); refused != "" {
		t.Error(refused)
	}
	restricted, err := client.New(as, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := restricted.Create(t.Context(), syntheticPod("default"), client.DryRunAll); !apierrors.IsForbidden(err) {
		t.Errorf("a pod in another namespace: %v", err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 seconds: %s", what)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
