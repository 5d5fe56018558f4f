//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"
)

// gatedPod returns a pod that is never scheduled.
func gatedPod(namespace, name string) *corev1.Pod {
	pod := barePod(namespace, name).(*corev1.Pod)
	pod.Labels["app"], _, _ = strings.Cut(name, "-")
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "nova.dev/e2e"}}
	return pod
}

// waitUntilWired waits until pods are wired. After a replica was killed, an API server
// may keep its connection to it for a while.
func waitUntilWired(n namespace) {
	n.t.Helper()
	eventually(n.t, "pods are wired", 2*time.Minute, func(ctx context.Context) (bool, error) {
		pod := gatedPod(n.name, "dry-run")
		err := n.GetControllerRuntimeClient().Create(ctx, pod, client.DryRunAll)
		return wired(pod), err
	})
}

// killWebhook deletes every replica with a grace period of one second. The returned
// function waits until they are gone.
func killWebhook(t *testing.T) (killed func()) {
	t.Helper()
	system := resourcesIn(t, systemNamespace)
	setReplicas(t, system, 0)
	for _, pod := range webhookPods(t, system) {
		if err := system.Delete(t.Context(), &pod, resources.WithGracePeriod(time.Second)); client.IgnoreNotFound(err) != nil {
			t.Fatalf("kill %s: %v", pod.Name, err)
		}
	}
	return func() {
		eventually(t, "the replicas are gone", time.Minute, func(context.Context) (bool, error) {
			return len(webhookPods(t, system)) == 0, nil
		})
	}
}

func webhookPods(t *testing.T, system *resources.Resources) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := system.List(t.Context(), &list, resources.WithLabelSelector("app.kubernetes.io/name="+webhookName)); err != nil {
		t.Fatalf("list the webhook's pods: %v", err)
	}
	return list.Items
}

// scaleWebhook scales the webhook and waits until exactly that many replicas exist and
// are ready.
func scaleWebhook(t *testing.T, replicas int32) {
	t.Helper()
	system := resourcesIn(t, systemNamespace)
	setReplicas(t, system, replicas)
	eventually(t, fmt.Sprintf("the webhook has %d replicas", replicas), 2*time.Minute, func(ctx context.Context) (bool, error) {
		var d appsv1.Deployment
		err := system.Get(ctx, webhookName, systemNamespace, &d)
		return d.Status.ObservedGeneration >= d.Generation && d.Status.ReadyReplicas == replicas &&
			len(webhookPods(t, system)) == int(replicas), err
	})
}

// setReplicas scales the webhook. If it scales to zero, the test's cleanup restores two
// replicas.
func setReplicas(t *testing.T, system *resources.Resources, replicas int32) {
	t.Helper()
	set := func(ctx context.Context, replicas int32) error {
		return system.Patch(ctx, deployment(systemNamespace, webhookName), merge(`{"spec":{"replicas":%d}}`, replicas))
	}
	if err := set(t.Context(), replicas); err != nil {
		t.Fatalf("scale the webhook to %d: %v", replicas, err)
	}
	if replicas == 0 {
		t.Cleanup(func() { _ = set(context.Background(), 2) })
	}
}

// roll restarts the Deployment's pods, as `kubectl rollout restart` does.
func roll(n namespace, name, why string) {
	n.t.Helper()
	patch := merge(`{"spec":{"template":{"metadata":{"annotations":{"e2e/rolled":%q}}}}}`, why)
	if err := n.Patch(n.t.Context(), deployment(n.name, name), patch); err != nil {
		n.t.Fatalf("roll %s: %v", name, err)
	}
}

func merge(format string, args ...any) k8s.Patch {
	return k8s.Patch{PatchType: types.MergePatchType, Data: fmt.Appendf(nil, format, args...)}
}

func anotherReady(than *corev1.Pod) func(*corev1.Pod) bool {
	return func(pod *corev1.Pod) bool { return pod.UID != than.UID && readyOrSucceeded(pod) }
}
