package charts

import (
	"encoding/base64"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/testing/cluster"
)

// TestDrift applies the chart as Argo CD and Flux do, by server-side apply, lets the
// certificates' owner write caBundle, and applies it again in a dry run: nothing differs.
func TestDrift(t *testing.T) {
	c, err := client.New(cluster.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bundle, _, err := certutil.GenerateSelfSignedCertKey("novawire", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(o unstructured.Unstructured, owner string, options ...client.ApplyOption) (unstructured.Unstructured, error) {
		o = *o.DeepCopy()
		err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(&o), append(options, client.FieldOwner(owner), client.ForceOwnership)...)
		return o, err
	}
	ensureNamespace(t.Context(), t, c, "drift")
	rendered := mustRender(t, "drift", "monitoring: {rules: false}\nlogging: {enabled: true, awsRegion: eu-west-1}")
	for i, o := range rendered { // namespaces first
		if o.GetKind() == "Namespace" {
			rendered[0], rendered[i] = rendered[i], rendered[0]
		}
	}
	for _, o := range rendered {
		if _, err := apply(o, "gitops"); err != nil && !meta.IsNoMatchError(err) {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	for _, o := range rendered {
		if webhooks, ok := o.Object["webhooks"].([]any); ok {
			certs := unstructured.Unstructured{Object: map[string]any{
				"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": map[string]any{"name": o.GetName()}, "webhooks": bundles(webhooks, bundle),
			}}
			if _, err := apply(certs, "novawire-certs"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, o := range rendered {
		live := unstructured.Unstructured{}
		live.SetGroupVersionKind(o.GroupVersionKind())
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(&o), &live); err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
			continue
		}
		again, err := apply(o, "gitops", client.DryRunAll)
		if err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
			continue
		}
		live.SetManagedFields(nil)
		again.SetManagedFields(nil)
		if diff := cmp.Diff(live.Object, again.Object); diff != "" {
			t.Errorf("%s %s drifts:\n%s", o.GetKind(), o.GetName(), diff)
		}
		if _, ok := o.Object["webhooks"]; ok {
			webhook := live.Object["webhooks"].([]any)[0].(map[string]any)
			if text, _, _ := unstructured.NestedString(webhook, "clientConfig", "caBundle"); text == "" {
				t.Errorf("%s: the caBundle was not written: the test proves nothing", o.GetKind())
			}
		}
	}
}

// bundles returns the part of a webhook configuration that the certificates' owner
// writes.
func bundles(webhooks []any, bundle []byte) (owned []any) {
	for _, w := range webhooks {
		owned = append(owned, map[string]any{
			"name":         w.(map[string]any)["name"],
			"clientConfig": map[string]any{"caBundle": base64.StdEncoding.EncodeToString(bundle)},
		})
	}
	return owned
}
