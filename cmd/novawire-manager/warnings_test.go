package main

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
)

// warningRecorder is a client that keeps the warnings of the API server.
type warningRecorder struct {
	lines []string
}

func (w *warningRecorder) HandleWarningHeader(_ int, _, text string) { w.lines = append(w.lines, text) }

func (w *warningRecorder) has(parts ...string) bool {
	for _, line := range w.lines {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}

func (m *environment) warned(w *warningRecorder) client.Client {
	m.Helper()
	config := rest.CopyConfig(m.config)
	config.WarningHandler = w
	c, err := client.New(config, client.Options{})
	if err != nil {
		m.Fatal(err)
	}
	return c
}

func deployment(ns, name string, change func(*corev1.PodTemplateSpec)) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{}}, Spec: podIn(ns).Spec},
		},
	}
	if change != nil {
		change(&d.Spec.Template)
	}
	return d
}

func warnsAtApply(m *environment, t *testing.T) {
	ns := m.namespace(nil)
	annotate := func(key, value string) func(*corev1.PodTemplateSpec) {
		return func(p *corev1.PodTemplateSpec) { p.Annotations[key] = value }
	}
	misplaced := deployment(ns, "misplaced", nil)
	misplaced.Annotations = map[string]string{injection.AnnotationProtocol: "grpc"}
	never := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "nightly", Namespace: ns}, Spec: batchv1.CronJobSpec{
		Schedule:    "0 1 * * *",
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: deployment(ns, "x", annotate(injection.AnnotationTraceSampling, "2")).Spec.Template}},
	}}
	never.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	for _, c := range []struct {
		object client.Object
		parts  []string
	}{
		{deployment(ns, "typo", annotate(injection.AnnotationProtocol, "grcp")), []string{"inject.nova.dev/protocol", "grcp", "http/protobuf"}},
		{deployment(ns, "unknown", annotate("inject.nova.dev/sevice-name", "x")), []string{"inject.nova.dev/sevice-name", "inject.nova.dev/service-name"}},
		{deployment(ns, "hidden", func(p *corev1.PodTemplateSpec) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
		}), []string{"ConfigMap settings", "envFrom"}},
		{deployment(ns, "host", func(p *corev1.PodTemplateSpec) {
			p.Spec.HostNetwork = true
			p.Annotations[injection.AnnotationProtocol] = "http/protobuf" // the gateway of this test takes gRPC alone
		}), []string{"not wired", "host network"}},
		{misplaced, []string{injection.AnnotationProtocol, "pod template"}},
		{never, []string{injection.AnnotationTraceSampling, `"2"`}},
	} {
		var w warningRecorder
		if err := m.warned(&w).Create(t.Context(), c.object); err != nil {
			t.Errorf("%s: %v", c.object.GetName(), err)
		}
		if !w.has(c.parts...) {
			t.Errorf("%s: no warning with %q in %q", c.object.GetName(), c.parts, w.lines)
		}
	}
	var w warningRecorder
	c := m.warned(&w)
	for _, name := range []string{"accounts", "accounts-v2"} {
		if err := c.Create(t.Context(), deployment(ns, name, annotate(injection.AnnotationServiceName, "accounts"))); err != nil {
			t.Fatal(err)
		}
	}
	if !w.has("Deployment accounts: has the same service name", "accounts") {
		t.Errorf("no warning about the name that two workloads have: %q", w.lines)
	}
}
