// Package admissionbaseline is a mutating webhook in the common style of
// controller-runtime: it decodes the pod, changes it, marshals it and computes the
// difference. Benchmarks compare the engine with it.
package admissionbaseline

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Change returns a function that makes a pod equal to wired. It copies the finished
// values, which is less work than computing them and favours the baseline.
func Change(wired *corev1.Pod) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Labels = merged(pod.Labels, wired.Labels)
		pod.Annotations = merged(pod.Annotations, wired.Annotations)
		pod.Spec.InitContainers = wired.Spec.InitContainers
		for i := range pod.Spec.Containers {
			pod.Spec.Containers[i].Env = wired.Spec.Containers[i].Env
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	if a == nil {
		a = map[string]string{}
	}
	maps.Copy(a, b)
	return a
}

// Respond returns a response with the patch that makes the change.
func Respond(raw []byte, change func(*corev1.Pod)) admission.Response {
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	change(&pod)
	changed, err := json.Marshal(&pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(raw, changed)
}

// Webhook returns the handler for a controller-runtime server.
func Webhook(change func(*corev1.Pod)) *admission.Webhook {
	return &admission.Webhook{Handler: admission.HandlerFunc(func(_ context.Context, request admission.Request) admission.Response {
		return Respond(request.Object.Raw, change)
	})}
}
