package rotator_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire/certs"
)

const (
	chaosTime  = 60 * time.Second
	chaosEvery = time.Second / 20
	chaosRolls = 3
)

// Pods are created for a minute while the authority is replaced three times and the
// replicas restart in turn. The webhook has failurePolicy Fail, and every pod must
// carry its mutation.
func TestRotator_NoPodIsLostDuringRotation(t *testing.T) {
	t.Parallel()
	b := newEnvironment(t)
	b.createAgedAuthority(20 * time.Second)
	service := b.startBalancer()
	settings := b.settings(shortPolicy)
	replicas := []*replica{b.replica(settings, false), b.replica(settings, false)}
	for _, r := range replicas {
		service.add(r)
	}
	b.create(b.podWebhook(service.url()))
	b.eventually("the webhook works", func() error { return b.createPod("first") })
	over := make(chan struct{})
	time.AfterFunc(chaosTime, func() { close(over) })
	var restarts sync.WaitGroup
	restarts.Go(func() { // each replica is away for as long as it takes to start
		for n := 0; wait(over, 4*time.Second); n++ {
			i, keepAlive := n%2, n%3 == 0
			service.remove(replicas[i])
			replicas[i].stop()
			replicas[i] = b.replica(settings, keepAlive)
			service.add(replicas[i])
		}
	})
	pods := b.createPods(over)
	restarts.Wait()
	handshakes := service.handshakes()
	t.Logf("%d pods, %d failed; handshakes by authority: %v", pods.created.Load(), pods.failed.Load(), handshakes)
	if pods.failed.Load() > 0 {
		t.Errorf("%d pods failed, the first: %v", pods.failed.Load(), pods.first.Load())
	}
	if want := int64(chaosTime/chaosEvery) * 9 / 10; pods.created.Load() < want {
		t.Errorf("%d pods, wanted %d: the load was not applied", pods.created.Load(), want)
	}
	if n := len(handshakes); n < chaosRolls+1 {
		t.Errorf("leaves of %d authorities were served, wanted %d", n, chaosRolls+1)
	}
}

// createAgedAuthority stores an authority of the given age, so that its renewal is near.
func (b *environment) createAgedAuthority(age time.Duration) {
	b.Helper()
	a, err := certs.NewAuthority(secretName, time.Now().Add(-age), shortPolicy, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	a.SignsFrom = time.Now().Add(-age)
	text, err := certs.Authorities{a}.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.create(&corev1.Secret{ObjectMeta: b.secretMeta(), Data: map[string][]byte{"authorities.json": text}})
}

func (b *environment) podWebhook(url string) *admissionv1.MutatingWebhookConfiguration {
	return &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: b.namespace, Labels: b.label()},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name:                    "wire.nova.dev",
			ClientConfig:            admissionv1.WebhookClientConfig{URL: &url},
			SideEffects:             new(admissionv1.SideEffectClassNone),
			FailurePolicy:           new(admissionv1.Fail),
			AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector:       b.namespaceSelector(),
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
}

type podCounts struct {
	created, failed atomic.Int64
	first           atomic.Value
}

// createPods creates one pod per interval without waiting for the previous one.
func (b *environment) createPods(over <-chan struct{}) *podCounts {
	var t podCounts
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(chaosEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-over:
			return &t
		case <-tick.C:
		}
		all.Go(func() {
			t.created.Add(1)
			if err := b.createPod(fmt.Sprint("pod-", n)); err != nil {
				t.failed.Add(1)
				t.first.CompareAndSwap(nil, fmt.Sprintf("pod %d: %v", n, err))
			}
		})
	}
}

// createPod creates a pod and returns an error if it does not carry the mutation.
func (b *environment) createPod(name string) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	if err := b.client.Create(b.Context(), pod); err != nil {
		return err
	}
	if pod.Annotations[mutation] == "" {
		return errors.New("the pod was admitted without the mutation")
	}
	return nil
}

// wait reports whether the duration passed before the test was over.
func wait(over <-chan struct{}, d time.Duration) bool {
	select {
	case <-over:
		return false
	case <-time.After(d):
		return true
	}
}
