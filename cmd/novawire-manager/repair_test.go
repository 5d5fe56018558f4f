package main

import (
	"encoding/json"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/commandline"
)

// repairsWhereAsked has a pod that was created while the webhook was away, and a workload whose
// annotation asks for its eviction. The dry run before passes this program's own webhook.
func repairsWhereAsked(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	m.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}})
	m.start()
	m.probeIs(1)
	missed := func(app string) *corev1.Pod { // as if the webhook had been away
		pod := owned(podIn(ns), "apps/v1", "StatefulSet", app)
		pod.Name, pod.Labels = app+"-0", map[string]string{"app": app, injection.LabelWiring: injection.WiringDisabled}
		m.create(pod)
		if err := m.client.Patch(t.Context(), pod, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"nova.dev/wiring":null}}}`))); err != nil {
			t.Fatal(err)
		}
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		if err := m.client.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		return pod
	}
	set := func(app string, annotations map[string]string) {
		template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}, Spec: podIn(ns).Spec}
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: app, Annotations: annotations}, Spec: appsv1.StatefulSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, Template: template,
		}}
		m.create(s)
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, CurrentRevision: "a", UpdateRevision: "a"}
		if err := m.client.Status().Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	asked, other := missed("asked"), missed("other")
	set("other", nil)
	set("asked", map[string]string{injection.AnnotationRepair: "evict"})
	m.eventually("evicted", func() bool {
		return apierrors.IsNotFound(m.client.Get(t.Context(), client.ObjectKeyFromObject(asked), asked))
	})
	m.eventually("counted", func() bool { return m.metric(`novawire_repairs_total{mode="evict",result="evicted"}`) == 1 })
	if err := m.client.Get(t.Context(), client.ObjectKeyFromObject(other), other); err != nil {
		t.Errorf("the pod of the other workload, where the configuration says none: %v", err)
	}
	if !strings.Contains(m.log.String(), `"msg":"pod evicted, so that a wired one replaces it"`) {
		t.Errorf("no log line:\n%s", m.log)
	}
	if err := m.stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestManager_FlagsThatNeedTheProbe(t *testing.T) {
	for name, flags := range map[string]managerFlags{"repair": {repair: true}, "restored webhooks": {restore: true}} {
		t.Run(name, func(t *testing.T) {
			flags.logLevel = "info"
			err := runManager(t.Context(), flags, false, t.Output())
			if commandline.ExitCode(err) != commandline.ExitUsage || !strings.Contains(err.Error(), "--admission-probe-namespace") {
				t.Errorf("%v", err)
			}
		})
	}
}

// What would be put back is what is shipped, for this installation.
func TestShippedWebhooks(t *testing.T) {
	shipped, err := shippedWebhooks(certFlags{namespace: "platform", service: "wiring", configuration: "wiring"})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
		o := shipped[kind]
		if o == nil || o.GetName() != "wiring" {
			t.Fatalf("%s: %v", kind, o)
		}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), defaultNamespace) || !strings.Contains(string(text), `"kube-node-lease","platform"`) || !strings.Contains(string(text), `"namespace":"platform","name":"wiring"`) {
			t.Errorf("%s: %s", kind, text)
		}
	}
}
