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
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
)

// The test stops the webhook, so it does not run in parallel.

const (
	repaired     = 10 // Deployments
	replicasEach = 5
	perMinute    = 60 // of manifests/overlays/kind/config.yaml
)

// TestRepair has the webhook away while 50 pods of 10 Deployments are created, one StatefulSet
// and one DaemonSet.
func TestRepair(t *testing.T) {
	n := inNamespace(t, true)
	scaleWebhook(t, 0)
	missed := n.createMissed()
	before := n.running(missed, false)
	scaleWebhook(t, 2)
	back := time.Now()
	eventually(t, "all are reported", time.Minute, func(ctx context.Context) (bool, error) {
		var ns corev1.Namespace
		err := n.Get(ctx, n.name, "", &ns)
		status, _ := injection.ReadNamespaceStatus(ns.Annotations)
		return status.Missing == missed, err
	})
	t.Logf("%d pods reported %s after the webhook was back", missed, time.Since(back).Round(time.Millisecond))
	budgets := n.sampleBudgets()

	probe := func(value string) {
		t.Helper()
		if err := n.Patch(t.Context(), &corev1.Namespace{ObjectMeta: meta("", "novawire-probe")}, merge(`{"metadata":{"labels":{%q:%s}}}`, injection.LabelWiring, value)); err != nil {
			t.Fatal(err)
		}
		// A change of the configuration has the probe look at once.
		kubectl(t, "", "annotate", "mutatingwebhookconfiguration", webhookName, "e2e/touched="+fmt.Sprint(time.Now().UnixNano()), "--overwrite")
	}
	t.Cleanup(func() {
		kubectl(t, "", "label", "namespace", "novawire-probe", injection.LabelWiring+"="+injection.WiringEnabled, "--overwrite")
	})
	probe("null")
	n.series("novawire_admission_probe_success", 0)
	n.ask()
	n.series(`novawire_repairs_waiting{reason="probe"}`, repaired+2)
	if now := n.running(missed, false); !sameKeys(before, now) {
		t.Error("pods were replaced while the probe failed")
	}
	probe(`"enabled"`)
	started := time.Now()

	n.running(missed, true)
	took := time.Since(started)
	t.Logf("repaired in %s", took.Round(time.Millisecond))
	if least := time.Duration(missed-1) * time.Minute / perMinute; took < least {
		t.Errorf("%d pods were replaced in %s, at a rate of %d per minute", missed, took, perMinute)
	}
	budgets()
	eventually(t, "no mark is left", time.Minute, func(ctx context.Context) (bool, error) {
		marks, err := n.marks(ctx)
		return len(marks) == 0, err
	})
}

// createMissed creates the workloads and returns the number of their pods.
func (n namespace) createMissed() (pods int) {
	n.t.Helper()
	for i := range repaired {
		d := deployment(n.name, fmt.Sprintf("feed-%d", i))
		d.Spec.Replicas = new(int32(replicasEach))
		n.create(d)
		least := intstr.FromInt32(replicasEach - 1)
		n.create(&policyv1.PodDisruptionBudget{ObjectMeta: meta(n.name, d.Name), Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: selector(d.Name)}})
	}
	n.create(statefulSet(n.name, "store"))
	n.create(daemonSet(n.name, "agent"))
	return repaired*replicasEach + 2
}

// ask asks for repair of the namespace, of its DaemonSet by a restart.
func (n namespace) ask() {
	n.t.Helper()
	kubectl(n.t, "", "-n", n.name, "annotate", "daemonset/agent", injection.AnnotationRepair+"="+string(repairapi.Restart))
	patch := merge(`{"metadata":{"annotations":{%q:%q}}}`, injection.AnnotationRepair, repairapi.Evict)
	if err := n.Patch(n.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.name}}, patch); err != nil {
		n.t.Fatal(err)
	}
}

// running waits until so many pods are ready, all of them wired or none, and returns their UIDs.
func (n namespace) running(pods int, areWired bool) (uids map[types.UID]bool) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%d pods are ready, wired: %t", pods, areWired), 4*time.Minute, func(ctx context.Context) (bool, error) {
		uids = map[types.UID]bool{}
		var list corev1.PodList
		err := n.List(ctx, &list)
		for _, pod := range list.Items {
			if pod.DeletionTimestamp == nil && readyOrSucceeded(&pod) && wired(&pod) == areWired {
				uids[pod.UID] = true
			}
		}
		return len(uids) == pods, err
	})
	return uids
}

func sameKeys(a, b map[types.UID]bool) bool {
	for uid := range a {
		if !b[uid] {
			return false
		}
	}
	return len(a) == len(b)
}

// sampleBudgets compares, until the returned function is called, the ready pods of each
// Deployment with its PodDisruptionBudget.
func (n namespace) sampleBudgets() (stop func()) {
	ctx, cancel := context.WithCancel(n.t.Context())
	ended, samples, fewest := make(chan struct{}), 0, replicasEach
	go func() {
		defer close(ended)
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var list corev1.PodList
			if n.List(ctx, &list) != nil {
				continue
			}
			ready := map[string]int{}
			for _, pod := range list.Items {
				if pod.DeletionTimestamp == nil && readyOrSucceeded(&pod) {
					ready[pod.Labels["app"]]++
				}
			}
			samples++
			for i := range repaired {
				fewest = min(fewest, ready[fmt.Sprintf("feed-%d", i)])
			}
		}
	}()
	return func() {
		n.t.Helper()
		cancel()
		<-ended
		n.t.Logf("%d samples: %d of %d pods of a Deployment were ready at the fewest", samples, fewest, replicasEach)
		if samples == 0 || fewest < replicasEach-1 {
			n.t.Errorf("a PodDisruptionBudget did not hold: %d ready pods", fewest)
		}
	}
}

// marks returns the repair statuses of the namespace's workloads, by name.
func (n namespace) marks(ctx context.Context) (map[string]repairapi.Status, error) {
	var deployments appsv1.DeploymentList
	var sets appsv1.StatefulSetList
	var daemons appsv1.DaemonSetList
	marks := map[string]repairapi.Status{}
	for _, list := range []k8s.ObjectList{&deployments, &sets, &daemons} {
		if err := n.List(ctx, list); err != nil {
			return nil, err
		}
	}
	add := func(o client.Object) {
		if status := repairapi.ReadStatus(o.GetAnnotations()); status.Phase != "" {
			marks[o.GetName()] = status
		}
	}
	for i := range deployments.Items {
		add(&deployments.Items[i])
	}
	for i := range sets.Items {
		add(&sets.Items[i])
	}
	for i := range daemons.Items {
		add(&daemons.Items[i])
	}
	return marks, nil
}

// series waits until the manager that leads has this value of a series.
func (n namespace) series(series string, want float64) {
	n.t.Helper()
	got := "no such series"
	err := poll(n.t, time.Minute, func(ctx context.Context) (bool, error) {
		for _, pod := range webhookPods(n.t, resourcesIn(n.t, systemNamespace)) {
			text, err := n.clientset().CoreV1().Pods(systemNamespace).ProxyGet("http", pod.Name, "8080", "/metrics", nil).DoRaw(ctx)
			if err != nil {
				continue // it is terminating
			}
			for line := range strings.Lines(string(text)) {
				if value, ok := strings.CutPrefix(line, series+" "); ok {
					got = strings.TrimSpace(value)
					return got == fmt.Sprint(want), nil
				}
			}
		}
		return false, nil
	})
	if err != nil {
		n.t.Fatalf("%s: %s, want %v", series, got, want)
	}
}
