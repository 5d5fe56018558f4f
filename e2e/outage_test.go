//go:build e2e

package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// These tests stop the webhook, so they do not run in parallel.

func TestOutage(t *testing.T) {
	t.Run("apps roll out without the webhook", func(t *testing.T) {
		n := inNamespace(t, true)
		n.create(deployment(n.name, "shop"))
		before := n.pod("shop", readyOrSucceeded)
		checkWired(t, before)

		scaleWebhook(t, 0)
		roll(n, "shop", "without")
		without := n.pod("shop", anotherReady(before))
		checkUnwired(t, without)

		scaleWebhook(t, 2)
		waitUntilWired(n)
		roll(n, "shop", "with")
		checkWired(t, n.pod("shop", anotherReady(without)))
	})

	// Pods with a scheduling gate are admitted and never run.
	t.Run("a webhook that is killed under load loses no pod", func(t *testing.T) {
		const pods, creators = 200, 20
		n := inNamespace(t, true)
		burst := make(chan int)
		var creating sync.WaitGroup
		for range creators {
			creating.Go(func() {
				for i := range burst {
					if err := n.Create(t.Context(), gatedPod(n.name, fmt.Sprintf("burst-%03d", i))); err != nil {
						t.Errorf("create pod %d: %v", i, err)
					}
				}
			})
		}
		feed := func(from, to int) {
			for i := from; i < to; i++ {
				burst <- i
			}
		}
		started := time.Now()
		feed(0, pods/4)
		killed := killWebhook(t) // a quarter before, a quarter while it dies, half without it
		feed(pods/4, pods/2)
		killed()
		feed(pods/2, pods)
		close(burst)
		creating.Wait()
		took := time.Since(started)

		admitted, err := n.pods(t.Context(), "burst")
		if err != nil || len(admitted) != pods {
			t.Errorf("%d of %d pods were admitted: %v", len(admitted), pods, err)
		}
		count := 0
		for _, pod := range admitted {
			if wired(&pod) {
				count++
			}
		}
		t.Logf("%d pods admitted in %s while the webhook was killed: %d wired, %d not wired", pods, took.Round(time.Millisecond), count, pods-count)
		if count == 0 || count == pods {
			t.Error("the test needs wired pods from before the kill and unwired pods from after it")
		}
		scaleWebhook(t, 2)
		waitUntilWired(n)
	})

	// A replica that shuts down gracefully loses no request.
	t.Run("a rollout of the webhook leaves no pod unwired", func(t *testing.T) {
		n := inNamespace(t, true)
		system := namespace{resourcesIn(t, systemNamespace), t, systemNamespace}
		waitUntilWired(n)

		rolled := make(chan struct{})
		var creating sync.WaitGroup
		creating.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-rolled:
					return
				default:
				}
				pod := gatedPod(n.name, fmt.Sprintf("steady-%04d", i))
				if err := n.Create(t.Context(), pod); err != nil || !wired(pod) {
					t.Errorf("pod %d: wired: %t, %v", i, wired(pod), err)
				}
			}
		})
		roll(system, webhookName, "under-load")
		kubectl(t, "", "--namespace", systemNamespace, "rollout", "status", "deployment/"+webhookName, "--timeout", "2m")
		close(rolled)
		creating.Wait()
	})
}
