package rotator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/certs"
	"github.com/nova/novawire/certs/rotator"
)

func TestRotator(t *testing.T) {
	t.Parallel()
	t.Run("every webhook trusts the first leaf", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("-a", "one.nova.dev", "two.nova.dev")
		b.validating("-b", "three.nova.dev")
		r, _ := b.start(b.settings(certs.DefaultPolicy()))
		b.ready(r)
		if err := b.trusted(r); err != nil {
			t.Fatal(err)
		}
		bundles, err := b.bundles()
		if err != nil {
			t.Fatal(err)
		}
		if len(bundles) != 3 {
			t.Fatalf("%d caBundles", len(bundles))
		}
	})

	t.Run("two replicas that start together share one authority", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("", "one.nova.dev")
		first, _ := b.start(b.settings(certs.DefaultPolicy()))
		second, _ := b.start(b.settings(certs.DefaultPolicy()))
		b.ready(first)
		b.ready(second)
		if err := b.trusted(first); err != nil {
			t.Error("first:", err)
		}
		if err := b.trusted(second); err != nil {
			t.Error("second:", err)
		}
		if n := len(b.authorities()); n != 1 {
			t.Errorf("%d authorities", n)
		}
	})

	t.Run("owns the caBundle fields and nothing else", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		before := b.mutating("", "one.nova.dev", "two.nova.dev")
		r, _ := b.start(b.settings(certs.DefaultPolicy()))
		b.ready(r)
		var after admissionv1.MutatingWebhookConfiguration
		if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(before), &after); err != nil {
			t.Fatal(err)
		}
		var owned string
		for _, f := range after.ManagedFields {
			if f.Manager == "novawire-certs" {
				owned = string(f.FieldsV1.GetRawBytes())
			}
		}
		want := `{"f:webhooks":{` +
			`"k:{\"name\":\"one.nova.dev\"}":{".":{},"f:clientConfig":{"f:caBundle":{}},"f:name":{}},` +
			`"k:{\"name\":\"two.nova.dev\"}":{".":{},"f:clientConfig":{"f:caBundle":{}},"f:name":{}}}}`
		if diff := cmp.Diff(sorted(t, want), sorted(t, owned)); diff != "" {
			t.Errorf("owned fields (-want +got):\n%s", diff)
		}
		for i := range after.Webhooks {
			after.Webhooks[i].ClientConfig.CABundle = nil
		}
		if diff := cmp.Diff(before.Webhooks, after.Webhooks); diff != "" {
			t.Errorf("what is not ours changed (-before +after):\n%s", diff)
		}
	})

	t.Run("does not write configurations that are not selected", func(t *testing.T) {
		t.Parallel()
		b, other := newEnvironment(t), newEnvironment(t)
		b.mutating("", "one.nova.dev")
		theirs := other.mutating("", "one.nova.dev")
		r, _ := b.start(b.settings(certs.DefaultPolicy()))
		b.ready(r)
		var after admissionv1.MutatingWebhookConfiguration
		if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(theirs), &after); err != nil {
			t.Fatal(err)
		}
		if after.ResourceVersion != theirs.ResourceVersion {
			t.Error("it was written")
		}
	})

	// The rights are those of the component certs-self: by name, and no more.
	t.Run("needs no rights beyond the selected name", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		b.mutating("-selected", "one.nova.dev")
		name := b.namespace + "-selected"
		b.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "certs"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secretName}, Verbs: []string{"get", "list", "watch", "update"}},
		}})
		b.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{admissionv1.GroupName}, Resources: []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
			ResourceNames: []string{name}, Verbs: []string{"list", "watch", "patch"},
		}}})
		user := rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: b.namespace}
		b.create(&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "certs"}, Subjects: []rbacv1.Subject{user},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "certs"},
		})
		b.create(&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: b.namespace}, Subjects: []rbacv1.Subject{user},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: b.namespace},
		})
		b.config.Impersonate.UserName = b.namespace
		settings := b.settings(certs.DefaultPolicy())
		settings.Webhooks = rotator.Selection{Name: name}
		settings.Interval = time.Hour
		r, _ := b.start(settings)
		b.ready(r)
		b.eventually("the bundle trusts the leaf", func() error { return b.trusted(r) })
		old := b.authorities()[0].Certificate
		if err := b.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: b.secretMeta()}); err != nil {
			t.Fatal(err)
		}
		b.eventually("the watch on the Secret tells of its deletion", func() error {
			if _, err := b.secret(); err != nil {
				return err
			}
			if b.authorities()[len(b.authorities())-1].Certificate.Equal(old) {
				return errors.New("it is the old one")
			}
			return nil
		})
	})

	t.Run("publishes to a webhook that is added later", func(t *testing.T) {
		t.Parallel()
		b := newEnvironment(t)
		r, _ := b.start(b.settings(certs.DefaultPolicy()))
		b.ready(r) // nobody to be seen by: nothing to wait for
		b.mutating("", "one.nova.dev")
		b.eventually("the new caBundle trusts the leaf", func() error { return b.trusted(r) })
	})
}

func sorted(t *testing.T, text string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, text))
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
