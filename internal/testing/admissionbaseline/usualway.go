// Package usualway is the usual way to write a mutating webhook with
// controller-runtime: decode the pod, change it, marshal it, and have the two
// compared. Benchmarks set the engine beside it; nothing else uses it.
package admissionbaseline

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Change makes a pod what wired is. It takes the finished values over, which is
// less work than deciding them: the comparison favours the usual way.
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

// Respond answers with the patch that the change comes to.
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

// Webhook is the handler that a controller-runtime server is given.
func Webhook(change func(*corev1.Pod)) *admission.Webhook {
	return &admission.Webhook{Handler: admission.HandlerFunc(func(_ context.Context, request admission.Request) admission.Response {
		return Respond(request.Object.Raw, change)
	})}
}
