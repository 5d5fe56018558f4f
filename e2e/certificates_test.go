//go:build e2e

package e2e

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// The authority is replaced three times by hand, as docs/certificates.md describes, and
// every replica is restarted each time and waits for the new one. Each pod that is
// created in the meantime must be wired.
func TestCertificates_Rotation(t *testing.T) {
	const rolls, every, atLeast = 3, time.Second / 20, time.Minute
	n := inNamespace(t, true)
	waitUntilWired(n)
	before := authorities(t)

	rolled := make(chan struct{})
	var creating sync.WaitGroup
	var created, missed atomic.Int64
	creating.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-rolled:
				return
			case <-tick.C:
			}
			creating.Go(func() {
				created.Add(1)
				pod := gatedPod(n.name, fmt.Sprintf("steady-%05d", i))
				if err := n.Create(t.Context(), pod); err != nil || !wired(pod) {
					missed.Add(1)
					t.Errorf("pod %d: wired: %t, %v", i, wired(pod), err)
				}
			})
		}
	})
	started := time.Now()
	for range rolls {
		kubectl(t, "", "--namespace", systemNamespace, "delete", "secret", "novawire-ca")
		kubectl(t, "", "--namespace", systemNamespace, "rollout", "restart", "deployment/"+webhookName)
		kubectl(t, "", "--namespace", systemNamespace, "rollout", "status", "deployment/"+webhookName, "--timeout", "5m")
	}
	took := time.Since(started)
	if took < atLeast {
		t.Errorf("it took %s, and should have lasted %s: replicas did not wait for their authority", took, atLeast)
	}
	close(rolled)
	creating.Wait()
	t.Logf("%d pods in %s, %d not wired", created.Load(), took.Round(time.Second), missed.Load())
	if after := authorities(t); after != before+rolls {
		t.Errorf("each caBundle held %d authorities and holds %d, wanted %d more", before, after, rolls)
	}
	checkCerts(t)
}

// authorities returns the number of authorities in each caBundle.
func authorities(t *testing.T) int {
	t.Helper()
	var mutating admissionv1.MutatingWebhookConfiguration
	var validating admissionv1.ValidatingWebhookConfiguration
	cluster := resourcesIn(t, "")
	if err := cluster.Get(t.Context(), webhookName, "", &mutating); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Get(t.Context(), webhookName, "", &validating); err != nil {
		t.Fatal(err)
	}
	first := mutating.Webhooks[0].ClientConfig.CABundle
	for _, w := range validating.Webhooks {
		if !bytes.Equal(first, w.ClientConfig.CABundle) {
			t.Errorf("the caBundle of %s differs", w.Name)
		}
	}
	count := 0
	for {
		var block *pem.Block
		if block, first = pem.Decode(first); block == nil {
			return count
		}
		count++
	}
}

// checkCerts runs `novawire check certs`, which connects to each replica through the
// API server.
func checkCerts(t *testing.T) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "run", "../cmd/novawire", "check", "certs", "--kubeconfig", testenv.EnvConf().KubeconfigFile())
	cmd.Stderr = &errs
	out, err := cmd.Output()
	t.Logf("novawire check certs:\n%s", out)
	if err != nil {
		t.Errorf("novawire check certs: %v\n%s", err, errs.String())
	}
	if n := strings.Count(string(out), "ok "); n < 2*3 {
		t.Errorf("%d lines are ok, want the validity and two webhooks for each of two replicas", n)
	}
}
