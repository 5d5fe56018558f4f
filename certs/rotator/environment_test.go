package rotator_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/certs/expiry"
	"github.com/nova/novawire/certs/rotator"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(cluster.Run(m))
}

// Policies for tests that cover the whole lifetime of an authority.
var (
	shortPolicy = certs.Policy{Authority: 36 * time.Second, Leaf: 9 * time.Second, Settle: 2 * time.Second, Skew: time.Second}
	// longerPolicy gives a slow machine more time to replace a lost authority.
	longerPolicy = certs.Policy{Authority: 60 * time.Second, Leaf: 15 * time.Second, Settle: 2 * time.Second, Skew: time.Second}
)

const secretName = "webhook-certs"

// environment is a namespace on the test cluster and the webhook configurations that
// its rotators write: those that are labelled with its name.
type environment struct {
	testing.TB
	config    *rest.Config
	client    client.Client
	namespace string
}

func newEnvironment(t testing.TB) *environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "certs-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return &environment{t, config, c, namespace.Name}
}

func (b *environment) settings(policy certs.Policy) rotator.Settings {
	return rotator.Settings{
		Namespace: b.namespace,
		Secret:    secretName,
		Names:     []string{b.serverName(), "127.0.0.1"},
		Webhooks:  rotator.Selection{Labels: labels.SelectorFromSet(b.label())},
		Policy:    policy,
		Interval:  200 * time.Millisecond,
		Now:       time.Now,
		Random:    rand.Reader,
		Log:       logr.Discard(),
		Metrics:   expiry.New(prometheus.NewRegistry()),
		Warn:      func(context.Context, string, string) {},
	}
}

func (b *environment) label() map[string]string { return map[string]string{"environment": b.namespace} }

func (b *environment) serverName() string { return "webhook." + b.namespace + ".svc" }

func (b *environment) rotator(settings rotator.Settings) *rotator.Rotator {
	b.Helper()
	r, err := rotator.New(b.config, settings)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// start runs a rotator until the test ends or stop is called.
func (b *environment) start(settings rotator.Settings) (r *rotator.Rotator, stop func()) {
	b.Helper()
	r = b.rotator(settings)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			b.Errorf("rotator: %v", err)
		}
	}
	b.Cleanup(stop)
	return r, stop
}

func (b *environment) ready(r *rotator.Rotator) {
	b.Helper()
	b.eventually("the replica is ready", func() error { return r.Ready(nil) })
}

// eventually polls until the condition holds, and fails after 30 seconds.
func (b *environment) eventually(what string, holds func() error) {
	b.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: %v", what, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// mutating creates a configuration with these webhooks and returns it.
func (b *environment) mutating(suffix string, webhooks ...string) *admissionv1.MutatingWebhookConfiguration {
	b.Helper()
	c := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: b.namespace + suffix, Labels: b.label()}}
	for _, name := range webhooks {
		c.Webhooks = append(c.Webhooks, admissionv1.MutatingWebhook{
			Name: name, ClientConfig: b.service(), SideEffects: new(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"}, NamespaceSelector: b.namespaceSelector(),
		})
	}
	b.create(c)
	return c
}

func (b *environment) validating(suffix string, webhooks ...string) *admissionv1.ValidatingWebhookConfiguration {
	b.Helper()
	c := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: b.namespace + suffix, Labels: b.label()}}
	for _, name := range webhooks {
		c.Webhooks = append(c.Webhooks, admissionv1.ValidatingWebhook{
			Name: name, ClientConfig: b.service(), SideEffects: new(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"}, NamespaceSelector: b.namespaceSelector(),
		})
	}
	b.create(c)
	return c
}

func (b *environment) service() admissionv1.WebhookClientConfig {
	return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: b.namespace, Name: "webhook"}}
}

func (b *environment) namespaceSelector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: b.namespace}}
}

func (b *environment) create(o client.Object) {
	b.Helper()
	if err := b.client.Create(b.Context(), o); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.client.Delete(context.Background(), o) })
}

// bundles reads every caBundle that the rotators write.
func (b *environment) bundles() ([]certs.Bundle, error) {
	var mutating admissionv1.MutatingWebhookConfigurationList
	var validating admissionv1.ValidatingWebhookConfigurationList
	ours := client.MatchingLabels(b.label())
	if err := b.client.List(context.Background(), &mutating, ours); err != nil {
		return nil, err
	}
	if err := b.client.List(context.Background(), &validating, ours); err != nil {
		return nil, err
	}
	var all []certs.Bundle
	for _, c := range mutating.Items {
		for _, w := range c.Webhooks {
			all = append(all, certs.ParseBundle(w.ClientConfig.CABundle))
		}
	}
	for _, c := range validating.Items {
		for _, w := range c.Webhooks {
			all = append(all, certs.ParseBundle(w.ClientConfig.CABundle))
		}
	}
	return all, nil
}

// trusted returns an error if a client of any caBundle refuses the replica's
// certificate in a TLS handshake.
func (b *environment) trusted(r *rotator.Rotator) error { return b.trustedAt(r, time.Now) }

func (b *environment) trustedAt(r *rotator.Rotator, now func() time.Time) error {
	bundles, err := b.bundles()
	if err != nil {
		return err
	}
	if len(bundles) == 0 {
		return fmt.Errorf("there is no caBundle")
	}
	for i, bundle := range bundles {
		if _, err := handshake(r, bundle, b.serverName(), now); err != nil {
			return fmt.Errorf("caBundle %d of %d: %w", i+1, len(bundles), err)
		}
	}
	return nil
}

// handshake connects a client that trusts the bundle to the replica and returns the
// served certificate.
func handshake(r *rotator.Rotator, bundle certs.Bundle, name string, now func() time.Time) (*x509.Certificate, error) {
	config := &tls.Config{}
	r.TLS(config)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			conn.(*tls.Conn).Handshake()
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: bundle.Pool(), ServerName: name, Time: now})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func (b *environment) secret() (*corev1.Secret, error) {
	var secret corev1.Secret
	err := b.client.Get(context.Background(), client.ObjectKey{Namespace: b.namespace, Name: secretName}, &secret)
	return &secret, err
}

func (b *environment) authorities() certs.Authorities {
	b.Helper()
	secret, err := b.secret()
	if err != nil {
		b.Fatal(err)
	}
	authorities, err := certs.Decode(secret.Data["authorities.json"])
	if err != nil {
		b.Fatal(err)
	}
	return authorities
}

// always checks the condition continuously until the test ends.
func (b *environment) always(what string, holds func() error) {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			if err := holds(); err != nil {
				done <- fmt.Errorf("%s: after %d checks: %w", what, n, err)
				return
			}
			select {
			case <-stop:
				done <- nil
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	b.Cleanup(func() {
		close(stop)
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}
