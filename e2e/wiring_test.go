//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/nova/novawire/api/injection"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

func TestWiring(t *testing.T) {
	t.Parallel()
	t.Run("every owner kind is wired and becomes ready", func(t *testing.T) {
		t.Parallel()
		n := inNamespace(t, true)
		for kind, workload := range workloads {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				n := namespace{n.Resources, t, n.name}
				name := strings.ToLower(kind)
				n.create(workload(n.name, name))

				pod := n.pod(name, readyOrSucceeded)
				checkWired(t, pod)
				if got := variable(pod, "OTEL_SERVICE_NAME"); got != name {
					t.Errorf("OTEL_SERVICE_NAME is %q, want the workload's name", got)
				}
			})
		}
	})

	// The sidecar ends when the app has ended.
	t.Run("a Job with the sidecar completes", func(t *testing.T) {
		t.Parallel()
		n := inNamespace(t, true)
		n.create(job(n.name, "work"))

		pod := n.pod("work", func(p *corev1.Pod) bool {
			return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		})
		checkWired(t, pod)
		if pod.Status.Phase != corev1.PodSucceeded {
			t.Errorf("the pod %s, want Succeeded", pod.Status.Phase)
		}
		for _, s := range pod.Status.InitContainerStatuses {
			if end := s.State.Terminated; end == nil || end.ExitCode != 0 {
				t.Errorf("the sidecar ended as %+v, want exit code 0", s.State)
			}
		}
	})

	t.Run("a pod that opts out is not changed", func(t *testing.T) {
		t.Parallel()
		n := inNamespace(t, true)
		template := deployment(n.name, "alone")
		template.Spec.Template.Labels[injection.LabelWiring] = injection.WiringDisabled
		n.create(template)

		checkUnwired(t, n.pod("alone", readyOrSucceeded))
	})

	t.Run("a namespace that did not opt in is not changed", func(t *testing.T) {
		t.Parallel()
		n := inNamespace(t, false)
		n.create(deployment(n.name, "elsewhere"))

		checkUnwired(t, n.pod("elsewhere", readyOrSucceeded))
	})
}

func readyOrSucceeded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func wired(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == sidecarapi.ContainerName })
}

func checkWired(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if !wired(pod) {
		t.Errorf("the pod %s has no container %s", pod.Name, sidecarapi.ContainerName)
	}
	if got := pod.Labels[injection.LabelLogging]; got != injection.LoggingStructured {
		t.Errorf("the label %s is %q", injection.LabelLogging, got)
	}
	if pod.Annotations[injection.AnnotationStatus] == "" {
		t.Errorf("the annotation %s is missing", injection.AnnotationStatus)
	}
	if got := variable(pod, "OTEL_EXPORTER_OTLP_ENDPOINT"); !strings.HasPrefix(got, "http://127.0.0.1:") {
		t.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT is %q", got)
	}
}

func checkUnwired(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if wired(pod) || pod.Labels[injection.LabelLogging] != "" || pod.Annotations[injection.AnnotationStatus] != "" || len(pod.Spec.Containers[0].Env) > 0 {
		t.Errorf("the pod %s was changed: %+v", pod.Name, pod.ObjectMeta)
	}
}

// variable returns the value of an environment variable of the app's container.
func variable(pod *corev1.Pod, name string) string {
	for _, c := range pod.Spec.Containers {
		for _, v := range c.Env {
			if c.Name == appContainer && v.Name == name {
				return v.Value
			}
		}
	}
	return ""
}
