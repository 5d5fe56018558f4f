package servicemonitor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/testing/cluster"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(cluster.Run(m))
}

// environment is a namespace of a cluster in which the controller runs.
type environment struct {
	*testing.T
	client    client.Client
	namespace string
}

func newEnvironment(t *testing.T) environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1
	directory := prerequisite.Path(t, "NOVAWIRE_OPERATOR_CRDS", "operator_crds")
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{directory + "/monitoring.coreos.com_servicemonitors.yaml"}}); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := manager.New(restricted(t, admin, config), manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if installed, err := Installed(mgr.GetRESTMapper()); !installed || err != nil {
		t.Fatalf("installed: %t, %v", installed, err)
	}
	if err := Add(mgr, Options{Labels: map[string]string{"release": "prometheus"}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	e := environment{T: t, client: admin}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "monitors-"}}
	e.create(namespace)
	e.namespace = namespace.Name
	return e
}

// restricted returns the configuration of a user who has the rights of the component
// service-monitors, and no others.
func restricted(t *testing.T, admin client.Client, config *rest.Config) *rest.Config {
	t.Helper()
	text, err := os.ReadFile("../../manifests/components/service-monitors/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.Unmarshal([]byte(strings.Split(string(text), "\n---\n")[0]), &role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "manager"}},
	}
	for _, o := range []client.Object{&role, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	as := rest.CopyConfig(config)
	as.Impersonate.UserName = "manager"
	return as
}

func (e environment) create(o client.Object) {
	e.Helper()
	if err := e.client.Create(e.Context(), o); err != nil {
		e.Fatal(err)
	}
}

// service creates a Service that selects the pods of an app.
func (e environment) service(name, app string, annotations map[string]string) *corev1.Service {
	e.Helper()
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name, Annotations: annotations}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": app}, Ports: []corev1.ServicePort{{Port: 80}},
	}}
	e.create(s)
	return s
}

// pod creates a pod of an app, wired or not.
func (e environment) pod(name, app string, wired bool) *corev1.Pod {
	e.Helper()
	labels := map[string]string{"app": app}
	if wired {
		labels[injection.LabelMetrics] = injection.MetricsScraped
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name, Labels: labels}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "app"}},
	}}
	e.create(p)
	return p
}

// monitor returns the ServiceMonitor of a Service, or nil.
func (e environment) monitor(service string) *unstructured.Unstructured {
	e.Helper()
	m := &unstructured.Unstructured{}
	m.SetGroupVersionKind(kind)
	err := e.client.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: monitorName(service)}, m)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		e.Fatal(err)
	}
	return m
}

func (e environment) eventually(what string, condition func() bool) {
	e.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			e.Fatalf("not within 30 seconds: %s", what)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-e.Context().Done():
		}
	}
}

func (e environment) exists(service string, want bool) {
	e.Helper()
	e.eventually(fmt.Sprintf("a ServiceMonitor of %s exists: %t", service, want), func() bool { return (e.monitor(service) != nil) == want })
}

func TestReconcile(t *testing.T) {
	e := newEnvironment(t)
	feed := e.service("feed", "feed", nil)
	e.service("unwired", "unwired", nil)
	e.service("opted-out", "feed", map[string]string{injection.AnnotationServiceMonitor: "false"})
	e.pod("unwired-1", "unwired", false)

	t.Run("a Service gets one when its first pod is wired", func(t *testing.T) {
		e.pod("feed-1", "feed", true)
		e.exists("feed", true)
		m := e.monitor("feed")
		controls := true
		if diff := cmp.Diff([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: "feed", UID: feed.UID, Controller: &controls}}, m.GetOwnerReferences()); diff != "" {
			t.Errorf("owner (-want +got):\n%s", diff)
		}
		if m.GetLabels()["release"] != "prometheus" || m.GetLabels()[labelManagedBy] != managedBy {
			t.Errorf("labels: %v", m.GetLabels())
		}
	})
	t.Run("one that is deleted or changed by hand comes back", func(t *testing.T) {
		if err := e.client.Delete(e.Context(), e.monitor("feed")); err != nil {
			t.Fatal(err)
		}
		e.exists("feed", true)
		m := e.monitor("feed")
		version := m.GetGeneration()
		m.SetAnnotations(map[string]string{annotationAppliedHash: "another version's"})
		_ = unstructured.SetNestedSlice(m.Object, []any{}, "spec", "endpoints")
		if err := e.client.Update(e.Context(), m); err != nil {
			t.Fatal(err)
		}
		e.eventually("its endpoints are back", func() bool {
			endpoints, _, _ := unstructured.NestedSlice(e.monitor("feed").Object, "spec", "endpoints")
			return len(endpoints) == 1
		})
		if e.monitor("feed").GetGeneration() <= version {
			t.Error("nothing was written")
		}
	})
	t.Run("one of the user's stays", func(t *testing.T) {
		theirs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"selector": map[string]any{}, "endpoints": []any{}}}}
		theirs.SetGroupVersionKind(kind)
		theirs.SetNamespace(e.namespace)
		theirs.SetName("feed")
		e.create(theirs)
		e.pod("feed-2", "feed", true)
		e.exists("feed", true)
		if err := e.client.Get(e.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
			t.Error(err)
		}
	})
	t.Run("a Service that opts out later loses it", func(t *testing.T) {
		if err := e.client.Patch(e.Context(), feed, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"`+injection.AnnotationServiceMonitor+`":"false"}}}`))); err != nil {
			t.Fatal(err)
		}
		e.exists("feed", false)
	})
	t.Run("a Service without wired pods loses it", func(t *testing.T) {
		e.service("again", "again", nil)
		pod := e.pod("again-1", "again", true)
		e.exists("again", true)
		if err := e.client.Delete(e.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
		e.exists("again", false)
	})
	t.Run("no other Service has one", func(t *testing.T) {
		for _, name := range []string{"unwired", "opted-out"} {
			if e.monitor(name) != nil {
				t.Errorf("%s has a ServiceMonitor", name)
			}
		}
	})
}

// TestRelabelings holds the rules equal to those of the PodMonitor.
func TestRelabelings(t *testing.T) {
	text, err := os.ReadFile("../../manifests/base/monitoring/pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var pods struct {
		Spec struct {
			PodMetricsEndpoints []struct{ Relabelings []any }
		}
	}
	if err := yaml.Unmarshal(text, &pods); err != nil {
		t.Fatal(err)
	}
	got, err := relabelings("feed")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pods.Spec.PodMetricsEndpoints[0].Relabelings, got[2:]); diff != "" {
		t.Errorf("copy the relabelings of pods.yaml to relabelings.yaml (-want +got):\n%s", diff)
	}
	if !strings.Contains(fmt.Sprint(got[0]), "feed") {
		t.Errorf("the first rule keeps another Service: %v", got[0])
	}
}
