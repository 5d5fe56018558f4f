//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	ledgerapi "github.com/nova/novawire/api/ledger"
	sidecarapi "github.com/nova/novawire/api/sidecar"
)

// A Deployment is rolled ten times under load, a pod is removed by force, the sidecar of
// another is killed while the backend is away. The account of the cluster agrees with the
// backend to the item: what was accepted arrived, or was counted as dropped, or was held by
// the sidecar that was killed.
func TestChurn(t *testing.T) {
	t.Parallel()
	n := inNamespace(t, true)
	n.backend("xray", xrayImage, []string{"-access-key=" + accessKey, "-secret-key=" + secretKey, "-region=" + region}, 4318, map[string]string{
		sidecarapi.EnvBackend: sidecarapi.BackendXRay, sidecarapi.EnvAWSRegion: region,
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
	})
	const rollouts = 10
	const held = 4000 // spans that a pod makes in some 20 seconds: longer outages differ in nothing until queues are full
	feed := deployment(n.name, "feed")
	feed.Spec.Replicas = new(int32(2))
	underLoad(&feed.Spec.Template.Spec)
	n.create(feed)
	forced, victim := barePod(n.name, "forced").(*corev1.Pod), barePod(n.name, "victim").(*corev1.Pod)
	for _, p := range []*corev1.Pod{forced, victim} {
		underLoad(&p.Spec)
	}
	victim.Spec.ShareProcessNamespace = new(true)
	killer := service("killer").Spec.Containers[0]
	killer.Name = "killer"
	victim.Spec.Containers = append(victim.Spec.Containers, killer)
	n.create(forced)
	n.create(victim)
	n.pod("forced", readyOrSucceeded)
	n.pod("victim", readyOrSucceeded)

	for i := range rollouts {
		roll(n, "feed", fmt.Sprint(i))
		n.rolledOut("feed")
	}
	if err := n.Delete(t.Context(), forced, resources.WithGracePeriod(0)); err != nil {
		t.Fatal(err)
	}
	n.hasAccount("the pod that was removed by force is counted", "forced", func(s ledgerapi.Service) bool { return s.GonePods == 1 })

	n.must("xray", "/busy", "busy", "true")
	n.holds("victim", held)
	n.restartedSidecar("victim", func() { n.must("victim", "/kill", "program", "novawire-sidecar") })
	n.hasAccount("what the killed sidecar held is counted", "victim", func(s ledgerapi.Service) bool { return s.Signals[ledgerapi.Traces].Unaccounted >= held })
	n.must("xray", "/busy", "busy", "false")

	if err := n.Delete(t.Context(), feed); err != nil {
		t.Fatal(err)
	}
	if err := n.Delete(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	for service, pods := range map[string]int{"feed": 2 * (rollouts + 1), "forced": 1, "victim": 1} {
		n.hasAccount("all its pods are counted", service, func(s ledgerapi.Service) bool { return s.Pods == 0 && s.GonePods >= pods })
	}
	n.checkAccount()
}

// checkAccount compares the account with the backend.
func (n namespace) checkAccount() {
	n.t.Helper()
	services, err := n.account(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	var sum ledgerapi.Entry
	for name, s := range services {
		e := s.Signals[ledgerapi.Traces]
		n.t.Logf("%s, %d pods: %+v", name, s.GonePods, e)
		sum = sum.Plus(e)
		if s.UnknownRuns > 0 || e.Accepted == 0 || e.Balance() != 0 {
			n.t.Errorf("%s: %d unknown runs, %d without an outcome: %+v", name, s.UnknownRuns, e.Balance(), e)
		}
	}
	var report struct {
		Spans    int64
		Problems []string
	}
	answer, err := n.get(n.t.Context(), "xray", 8080, "/report")
	if err != nil || json.Unmarshal(answer, &report) != nil {
		n.t.Fatalf("ask for the report: %v: %s", err, answer)
	}
	if counted := ledgerapi.Sum(sum.Dropped) + sum.Stored + sum.Unaccounted; sum.Exported != report.Spans || sum.Accepted != report.Spans+counted || len(report.Problems) > 0 {
		n.t.Errorf("accepted %d, exported %d, counted otherwise %d; the backend has %d; problems: %q", sum.Accepted, sum.Exported, counted, report.Spans, report.Problems)
	}
}

// underLoad makes the app of a pod send spans until it ends.
func underLoad(pod *corev1.PodSpec) {
	c := &pod.Containers[0]
	c.Image, c.Ports, c.ReadinessProbe = sdkImage, nil, nil
	c.Args = []string{"-traces=1000000", fmt.Sprint("-children=", spansOfATrace-1), "-every=20ms"}
}

// rolledOut waits until all pods of a Deployment are of its newest template.
func (n namespace) rolledOut(name string) {
	n.t.Helper()
	eventually(n.t, name+" is rolled out", 2*time.Minute, func(ctx context.Context) (bool, error) {
		var d appsv1.Deployment
		if err := n.Get(ctx, name, n.name, &d); err != nil {
			return false, err
		}
		s := d.Status
		return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == *d.Spec.Replicas && s.AvailableReplicas == s.UpdatedReplicas && s.Replicas == s.UpdatedReplicas, nil
	})
}

// must requests a path of an app's pod with one parameter.
func (n namespace) must(app, path, key, value string) {
	n.t.Helper()
	pods, err := n.pods(n.t.Context(), app)
	if err != nil || len(pods) != 1 {
		n.t.Fatalf("%d pods of %s: %v", len(pods), app, err)
	}
	answer, err := n.clientset().CoreV1().Pods(n.name).ProxyGet("http", pods[0].Name, "8080", path, map[string]string{key: value}).DoRaw(n.t.Context())
	if err != nil {
		n.t.Fatalf("%s of %s: %v: %s", path, app, err, answer)
	}
}

// holds waits until the sidecar of an app's pod has so many spans that the backend did not take.
func (n namespace) holds(app string, spans int64) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("the sidecar of %s holds %d spans", app, spans), 2*time.Minute, func(ctx context.Context) (bool, error) {
		answer, err := n.get(ctx, app, sidecarapi.MetricsPort, ledgerapi.Path)
		if err != nil {
			return false, nil //nolint:nilerr // a sidecar that does not answer yet is asked again
		}
		m, err := ledgerapi.ParseMessage(answer)
		return m.Ledger[ledgerapi.Traces].Balance() >= spans, err
	})
}

// restartedSidecar waits until the sidecar of an app's pod was started again.
func (n namespace) restartedSidecar(app string, kill func()) {
	n.t.Helper()
	kill()
	n.pod(app, func(p *corev1.Pod) bool {
		for _, s := range p.Status.InitContainerStatuses {
			if s.Name == sidecarapi.ContainerName {
				return s.RestartCount == 1 && s.State.Running != nil
			}
		}
		return false
	})
}

// hasAccount waits until the account of a service is as wanted.
func (n namespace) hasAccount(what, service string, wanted func(ledgerapi.Service) bool) {
	n.t.Helper()
	var last ledgerapi.Service
	err := poll(n.t, 2*time.Minute, func(ctx context.Context) (bool, error) {
		services, err := n.account(ctx)
		last = services[service]
		return err == nil && wanted(last), err
	})
	if err != nil {
		n.t.Fatalf("%s: %s: %v; the account is %+v", service, what, err, last)
	}
}

// account returns what the manager has stored of the services of the namespace.
func (n namespace) account(ctx context.Context) (map[string]ledgerapi.Service, error) {
	var accounts []*ledgerapi.Account
	for i := range ledgerapi.Shards {
		var stored corev1.ConfigMap
		err := n.Get(ctx, ledgerapi.ShardName(i), systemNamespace, &stored)
		if apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		a, err := ledgerapi.Decode(stored.BinaryData[ledgerapi.Key])
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, a)
	}
	services := map[string]ledgerapi.Service{}
	for _, s := range ledgerapi.Report(accounts...) {
		if s.Namespace == n.name {
			services[s.Name] = s
		}
	}
	return services, nil
}
