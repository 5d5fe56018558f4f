//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"
)

// These tests take the webhook away, so they do not run in parallel.

func TestAppsRollWithoutTheWebhook(t *testing.T) {
	n := inNamespace(t, true)
	n.create(deployment(n.name, "shop"))
	before := n.pod("shop", readyOrSucceeded)
	checkWired(t, before)

	scaleWebhook(t, 0)
	roll(n, "shop", "without")
	without := n.pod("shop", anotherReady(before))
	checkUnwired(t, without)

	scaleWebhook(t, 2)
	roll(n, "shop", "with")
	checkWired(t, n.pod("shop", anotherReady(without)))
}

// Pods held by a scheduling gate are admitted and cost nothing to run.
func TestAWebhookKilledUnderABurstLosesNoPod(t *testing.T) {
	const pods, creators = 200, 20
	n := inNamespace(t, true)
	system := resourcesIn(t, systemNamespace)
	kill := map[int64]bool{pods / 4: true, pods / 2: true}

	var made atomic.Int64
	var creating sync.WaitGroup
	names := make(chan string)
	for range creators {
		creating.Go(func() {
			for name := range names {
				pod := barePod(n.name, name).(*corev1.Pod)
				pod.Labels = map[string]string{"app": "burst"}
				pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "nova.dev/held"}}
				if err := n.Create(t.Context(), pod); err != nil {
					t.Errorf("create pod %s: %v", name, err)
				}
				if kill[made.Add(1)] {
					killWebhook(t, system)
				}
			}
		})
	}
	started := time.Now()
	for i := range pods {
		names <- fmt.Sprintf("burst-%03d", i)
	}
	close(names)
	creating.Wait()
	took := time.Since(started)

	admitted, err := n.pods(t.Context(), "burst")
	if err != nil || len(admitted) != pods {
		t.Fatalf("%d of %d pods were admitted: %v", len(admitted), pods, err)
	}
	scaleWebhook(t, 2)
	count := 0
	for _, pod := range admitted {
		if wired(&pod) {
			count++
		}
	}
	t.Logf("%d pods admitted in %s while the webhook was killed twice: %d wired, %d un-wired", pods, took.Round(time.Millisecond), count, pods-count)
	if count == 0 {
		t.Error("no pod was wired: the webhook did not work before it was killed either")
	}
}

// killWebhook ends every replica at once, without grace.
func killWebhook(t *testing.T, system *resources.Resources) {
	var list corev1.PodList
	if err := system.List(t.Context(), &list, resources.WithLabelSelector("app.kubernetes.io/name="+webhookName)); err != nil {
		t.Errorf("list the webhook's pods: %v", err)
	}
	for _, pod := range list.Items {
		if err := system.Delete(t.Context(), &pod, resources.WithGracePeriod(0)); err != nil {
			t.Errorf("kill %s: %v", pod.Name, err)
		}
	}
}

// scaleWebhook scales and waits until just so many replicas are there and
// ready. A test that takes the webhook away leaves it as it was.
func scaleWebhook(t *testing.T, replicas int32) {
	t.Helper()
	system := resourcesIn(t, systemNamespace)
	scale := func(ctx context.Context, replicas int32) error {
		return system.Patch(ctx, deployment(systemNamespace, webhookName), merge(`{"spec":{"replicas":%d}}`, replicas))
	}
	if err := scale(t.Context(), replicas); err != nil {
		t.Fatalf("scale the webhook to %d: %v", replicas, err)
	}
	if replicas == 0 {
		t.Cleanup(func() { _ = scale(context.Background(), 2) })
	}
	eventually(t, fmt.Sprintf("the webhook has %d replicas", replicas), 2*time.Minute, func(ctx context.Context) (bool, error) {
		var d appsv1.Deployment
		var list corev1.PodList
		if err := system.Get(ctx, webhookName, systemNamespace, &d); err != nil {
			return false, err
		}
		err := system.List(ctx, &list, resources.WithLabelSelector("app.kubernetes.io/name="+webhookName))
		return d.Status.ObservedGeneration >= d.Generation && d.Status.ReadyReplicas == replicas && len(list.Items) == int(replicas), err
	})
}

// roll changes the Deployment's template, as `kubectl rollout restart` does.
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
