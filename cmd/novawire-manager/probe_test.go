package main

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	probeSuccess = "novawire_admission_probe_success"
	present      = `novawire_webhook_configuration_present{kind="`
)

// createProbeNamespace creates the namespace and the policy of the component admission-probe.
func (m *environment) createProbeNamespace() {
	m.Helper()
	text, err := os.ReadFile("../../manifests/components/admission-probe/probe.yaml")
	if err != nil {
		m.Fatal(err)
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		for kind, o := range map[string]client.Object{
			"Namespace": &corev1.Namespace{}, "ValidatingAdmissionPolicy": &admissionv1.ValidatingAdmissionPolicy{},
			"ValidatingAdmissionPolicyBinding": &admissionv1.ValidatingAdmissionPolicyBinding{},
		} {
			if strings.Contains(document, "\nkind: "+kind+"\n") {
				m.decode(document, o)
				// It stays: without a namespace controller a deleted Namespace never goes.
				if err := m.client.Create(m.Context(), o); client.IgnoreAlreadyExists(err) != nil {
					m.Fatal(err)
				}
			}
		}
	}
}

// event reports whether there is an Event of the manager's Deployment with this reason and text.
func (m *environment) event(reason, text string) bool {
	var events eventsv1.EventList
	if err := m.client.List(m.Context(), &events, client.InNamespace(defaultNamespace)); err != nil {
		m.Fatal(err)
	}
	for _, e := range events.Items {
		if e.Reason == reason && strings.Contains(e.Note, text) && e.Regarding.Kind == "Deployment" && e.Regarding.Name == defaultService {
			return true
		}
	}
	return false
}

func (m *environment) probeIs(want float64) {
	m.Helper()
	m.eventually("the result of the probe", func() bool {
		return m.metric(probeSuccess) == want && m.metric(present+`MutatingWebhookConfiguration"}`) == 1 && m.metric(present+`ValidatingWebhookConfiguration"}`) == 1
	})
}

func probesAdmission(m *environment, t *testing.T) {
	m.probeIs(1)
	t.Run("nothing runs in the namespace of the probe", func(t *testing.T) {
		pod, no, yes := podIn("novawire-probe"), false, true // as Pod Security requires
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
		pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
		err := m.client.Create(t.Context(), pod)
		if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "dry runs only") {
			t.Errorf("a pod that is no dry run: %v", err)
		}
	})
	t.Run("an API server that does not trust the webhook is told, with what to do", func(t *testing.T) {
		foreign := httptest.NewTLSServer(nil)
		defer foreign.Close()
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: foreign.Certificate().Raw})
		restore := m.trust(ca)
		m.probeIs(0)
		m.eventually("an Event", func() bool { return m.event("AdmissionProbeFailed", "novawire check certs") })
		restore()
		m.probeIs(1)
	})
	t.Run("a namespace without the label is told, with the command", func(t *testing.T) {
		m.label("novawire-probe", `null`)
		m.trust(nil)() // a change of a configuration requests a check
		m.eventually("an Event", func() bool {
			return m.event("AdmissionProbeFailed", "kubectl label namespace novawire-probe nova.dev/wiring=enabled")
		})
		m.label("novawire-probe", `"enabled"`)
		m.probeIs(1)
	})
	t.Run("deleted webhook configurations are told at once, by log, metric and Event", func(t *testing.T) {
		mutating := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: defaultService}}
		validating := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: defaultService}}
		for kind, o := range map[string]client.Object{"MutatingWebhookConfiguration": mutating, "ValidatingWebhookConfiguration": validating} {
			if err := m.client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			if err := m.client.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			m.eventually("a metric of the "+kind, func() bool { return m.metric(present+kind+`"}`) == 0 })
			m.eventually("a log line of the "+kind, func() bool {
				return strings.Contains(m.log.String(), `"level":"ERROR","msg":"admission does not work","logger":"probe","check":"`+kind)
			})
			m.eventually("an Event of the "+kind, func() bool { return m.event("WebhookConfigurationMissing", "the "+kind+" novawire does not exist") })
		}
		if m.metric(probeSuccess) != 0 {
			t.Error("the probe succeeds without the webhook")
		}
		for _, o := range []client.Object{mutating, validating} {
			o.SetResourceVersion("")
			if err := m.client.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		m.probeIs(1)
	})
}

// trust sets the caBundle of the webhook of pods, or changes nothing but an annotation if it is
// nil. It returns a function that sets the former one.
func (m *environment) trust(bundle []byte) (restore func()) {
	m.Helper()
	set := func(bundle []byte) (former []byte) {
		c := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: defaultService}}
		if err := m.client.Get(m.Context(), client.ObjectKeyFromObject(c), c); err != nil {
			m.Fatal(err)
		}
		former = c.Webhooks[0].ClientConfig.CABundle
		if bundle == nil {
			c.Annotations = map[string]string{"touched": "yes"}
		} else {
			c.Webhooks[0].ClientConfig.CABundle = bundle
		}
		if err := m.client.Update(m.Context(), c); err != nil {
			m.Fatal(err)
		}
		return former
	}
	former := set(bundle)
	return func() { set(former) }
}

func (m *environment) label(namespace, value string) {
	m.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := m.client.Patch(m.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"nova.dev/wiring":`+value+`}}}`))); err != nil {
		m.Fatal(err)
	}
}
