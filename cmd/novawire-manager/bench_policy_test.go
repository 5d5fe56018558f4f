package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/testing/bench"
)

// BenchmarkPolicy creates pods, as dry runs, on one API server in three namespaces by turns: one that
// did not opt in, one whose pods the policy wires, and one with the webhook. The rate includes all
// work of the API server.
func BenchmarkPolicy(b *testing.B) {
	if !bench.Selected("policy/creations") && !bench.Selected("policy/latency") {
		b.Skip("run it with: make bench BENCH=policy")
	}
	m := startManager(b)
	e := &explainTest{environment: m, parent: m, bundle: m.read("tls.crt")}
	nothing, byPolicy, byWebhook := m.namespace(nil), m.namespace(nil), m.namespace(nil)
	e.namespace = byPolicy
	e.shell(fmt.Sprintf(`kubectl label namespace %s nova.dev/wiring-
kubectl label namespace %s by=webhook
kubectl label namespace %s by=policy
novawire policy --config %s | kubectl apply --server-side -f -
kubectl patch mutatingadmissionpolicybinding novawire --type=merge -p '{"spec":{"matchResources":{"namespaceSelector":{"matchLabels":{"by":"policy"}}}}}'`,
		nothing, byWebhook, byPolicy, filepath.Join(m.dir, "config.yaml")))
	e.shell(`kubectl patch mutatingwebhookconfiguration novawire --type=json -p '[{"op":"add","path":"/webhooks/0/namespaceSelector/matchLabels/by","value":"webhook"}]'`)
	m.eventually("wired by the policy and by the webhook", func() bool {
		return m.wiresIn(byPolicy) && m.wiresIn(byWebhook) && !m.wiresIn(nothing)
	})

	const rounds, turn = 5, 2 * time.Second
	namespaces := []string{nothing, byPolicy, byWebhook}
	rates := make([][]float64, len(namespaces))
	latencies := make([][]time.Duration, len(namespaces))
	for range rounds {
		for i, namespace := range namespaces {
			rates[i] = append(rates[i], m.creations(b, namespace, turn))
			latencies[i] = append(latencies[i], m.creationTimes(b, namespace, turn)...)
		}
	}
	rate := func(i int) float64 { slices.Sort(rates[i]); return rates[i][rounds/2] }
	perSecond := func(i int) string { return fmt.Sprintf("%.0f/s", rate(i)) }
	bench.Line("policy/creations (peer: the webhook)", perSecond(1), perSecond(2), rate(1)/rate(2))
	bench.Line("policy/creations-unwired (peer: nothing)", perSecond(1), perSecond(0), rate(1)/rate(0))
	for _, percent := range []int{50, 99} {
		at := func(i int) time.Duration {
			slices.Sort(latencies[i])
			return latencies[i][len(latencies[i])*percent/100]
		}
		bench.Line(fmt.Sprintf("policy/latency-p%d (peer: the webhook)", percent), at(1).String(), at(2).String(), float64(at(2))/float64(at(1)))
		bench.Line(fmt.Sprintf("policy/latency-p%d-unwired (peer: nothing)", percent), at(1).String(), at(0).String(), float64(at(0))/float64(at(1)))
	}
}

func (m *environment) wiresIn(namespace string) bool {
	pod := podIn(namespace)
	return m.client.Create(m.Context(), pod, client.DryRunAll) == nil && isWired(pod)
}

// creations creates pods with several clients and returns how many a second.
func (m *environment) creations(b *testing.B, namespace string, turn time.Duration) float64 {
	b.Helper()
	var count atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for range connections {
		group.Go(func() {
			for ; time.Since(start) < turn; count.Add(1) {
				if err := m.client.Create(m.Context(), podIn(namespace), client.DryRunAll); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return float64(count.Load()) / time.Since(start).Seconds()
}

// creationTimes creates one pod after the other and returns how long each took.
func (m *environment) creationTimes(b *testing.B, namespace string, turn time.Duration) (times []time.Duration) {
	b.Helper()
	for start := time.Now(); time.Since(start) < turn; {
		before := time.Now()
		if err := m.client.Create(m.Context(), podIn(namespace), client.DryRunAll); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(before))
	}
	return times
}
