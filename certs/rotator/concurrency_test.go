package rotator_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestRotator_Concurrency(t *testing.T) {
	t.Parallel()
	// A replica that was paused just before it writes a caBundle wakes up when others
	// have published an authority that it does not know.
	t.Run("a late writer removes nothing from a bundle", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("", "one.nova.dev")
		late := *b
		late.config = rest.CopyConfig(b.config)
		reached, release := make(chan struct{}, 1), make(chan struct{})
		answers := make(chan int, 100)
		late.config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return cluster.RoundTripper(func(request *http.Request) (*http.Response, error) {
				if request.Method != http.MethodPatch {
					return next.RoundTrip(request)
				}
				select {
				case reached <- struct{}{}:
				default:
				}
				<-release
				response, err := next.RoundTrip(request)
				if err == nil {
					answers <- response.StatusCode
				}
				return response, err
			})
		})
		policy := certs.DefaultPolicy()
		policy.Settle = time.Second
		paused, _ := late.start(late.settings(policy))
		<-reached
		awake, _ := b.start(b.settings(policy))
		b.ready(awake)
		if err := b.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: b.secretMeta()}); err != nil {
			t.Fatal(err)
		}
		b.eventually("two authorities are published", func() error { return b.bundleSize(2) })
		b.always("both stay", func() error { return b.bundleSize(2) })
		close(release)
		if status := <-answers; status != http.StatusConflict {
			t.Errorf("the late write was answered with %d", status)
		}
		b.eventually("the replica that was paused is trusted", func() error {
			return errors.Join(paused.Ready(nil), b.trusted(awake))
		})
	})

	// Without the right to write configurations nothing can be published: the next
	// authority waits, and the old one continues to sign.
	t.Run("an authority that cannot be published signs nothing", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("", "one.nova.dev")
		able, stop := b.start(b.settings(shortPolicy))
		b.ready(able)
		stop()
		old := b.authorities()[0]
		reader := *b
		reader.config = rest.CopyConfig(b.config)
		reader.config.Impersonate.UserName = b.namespace
		b.grant("secrets", "", "*")
		b.grant("mutatingwebhookconfigurations", admissionv1.GroupName, "list", "watch")
		b.grant("validatingwebhookconfigurations", admissionv1.GroupName, "list", "watch")
		unable, _ := reader.start(b.settings(shortPolicy))
		b.ready(unable)
		b.always("the replica is trusted", func() error {
			if time.Now().After(old.Certificate.NotAfter.Add(-time.Second)) {
				return nil // what was never published cannot save it
			}
			return b.trusted(unable)
		})
		b.eventually("a successor is created", func() error {
			if len(b.authorities()) < 2 {
				return errors.New("none yet")
			}
			return nil
		})
		b.eventually("the old authority is near its end", func() error {
			if time.Now().Before(old.Certificate.NotAfter.Add(-2 * time.Second)) {
				return errors.New("not yet")
			}
			return nil
		})
		if !b.authorities()[1].SignsFrom.IsZero() {
			t.Error("the successor may sign, and no client trusts it")
		}
	})

	// A GitOps tool applies its manifests again and again, with and without a caBundle.
	t.Run("manifests that are applied again change nothing", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		apply := func(webhooks ...map[string]any) error {
			var all []any
			for _, w := range webhooks {
				all = append(all, w)
			}
			u := &unstructured.Unstructured{Object: map[string]any{"webhooks": all}}
			u.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("MutatingWebhookConfiguration"))
			u.SetName(b.namespace)
			u.SetLabels(b.label())
			return b.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("gitops"), client.ForceOwnership)
		}
		webhook := func(name string) map[string]any {
			return map[string]any{
				"name": name, "sideEffects": "None", "admissionReviewVersions": []any{"v1"},
				"clientConfig": map[string]any{"service": map[string]any{"namespace": b.namespace, "name": "webhook"}},
				"rules":        []any{map[string]any{"apiGroups": []any{"x.nova.dev"}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"xs"}}},
			}
		}
		if err := apply(webhook("one.nova.dev"), webhook("two.nova.dev")); err != nil {
			t.Fatal(err)
		}
		r, _ := b.start(b.settings(certs.DefaultPolicy()))
		b.ready(r)
		b.eventually("published", func() error { return b.trusted(r) })
		if err := apply(webhook("one.nova.dev"), webhook("two.nova.dev")); err != nil {
			t.Fatal(err)
		}
		if err := b.trusted(r); err != nil {
			t.Error("applied again without a caBundle:", err)
		}
		stale := webhook("two.nova.dev")
		stale["clientConfig"].(map[string]any)["caBundle"] = base64.StdEncoding.EncodeToString(unknownAuthority(t).PEM())
		if err := apply(webhook("one.nova.dev"), stale); err != nil {
			t.Fatal(err)
		}
		b.eventually("published over a stale caBundle", func() error { return b.trusted(r) })
		// The limit that docs/certificates.md describes: the tool cannot remove an entry
		// by apply, because we own its caBundle.
		if err := apply(webhook("one.nova.dev")); !apierrors.IsInvalid(err) {
			t.Errorf("removing a webhook by apply: %v; if that works now, docs/certificates.md is out of date", err)
		}
		var live admissionv1.MutatingWebhookConfiguration
		b.eventually("a webhook is removed by replacing the configuration", func() error {
			if err := b.client.Get(t.Context(), client.ObjectKey{Name: b.namespace}, &live); err != nil {
				return err
			}
			live.Webhooks = live.Webhooks[:1]
			return b.client.Update(t.Context(), &live, client.FieldOwner("gitops"))
		})
		b.eventually("the one that stays is trusted", func() error { return b.trusted(r) })
		if err := apply(webhook("one.nova.dev")); err != nil {
			t.Error("applied after that:", err)
		}
	})
}

func (b *environment) bundleSize(n int) error {
	bundles, err := b.bundles()
	if err == nil && len(bundles[0]) != n {
		err = errors.New("it holds another number of authorities")
	}
	return err
}

// grant allows the user that has the name of the environment's namespace these verbs.
func (b *environment) grant(resource, group string, verbs ...string) {
	b.Helper()
	name := b.namespace + "-" + resource
	b.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs},
	}})
	b.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: b.namespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	})
}
