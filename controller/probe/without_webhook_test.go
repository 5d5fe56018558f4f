package probe

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/internal/testing/cluster"
)

// TestProbe_Policy is a cluster whose platform forbids webhooks in the path of pods.
func TestProbe_Policy(t *testing.T) {
	config := cluster.Config(t)
	admin, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "novawire-system"}}
	if err := admin.Create(t.Context(), system); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	install(t, admin, "base/rbac.yaml", "components/admission-probe/probe.yaml", "components/webhook-restore/rbac.yaml")
	deployment, webhook := managerDeployment(), mutatingConfiguration()
	if err := admin.Create(t.Context(), deployment); err != nil { // without it nothing is put back
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(t.Context()), deployment); err != nil {
			t.Error(err)
		}
	})
	if err := admin.Delete(t.Context(), webhook); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		status  string
		refused bool
		ok      bool
	}{
		"a pod that the policy wires":                 {`{"by":"policy","config":"11e0f6e58d69"}`, false, true},
		"a pod that the API server refuses meanwhile": {`{"by":"policy","config":"11e0f6e58d69"}`, true, false},
		"a pod that the policy leaves alone":          {`{"by":"policy","unsupported":["port-taken"]}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			annotate(t, admin, c.status)
			var looked, probes, wired atomic.Int32
			metrics := startProbe(t, config, Options{
				RestoreAfter: 1, Shipped: map[string]client.Object{kindMutating: mutatingConfiguration()},
				Result: func(ok bool) {
					if ok {
						wired.Add(1)
					}
					probes.Add(1)
				},
			}, &looked)
			eventually(t, "three probes", func() bool { return probes.Load() >= 3 })
			if c.refused {
				refuse(t, admin)
				wired.Store(0)
				probes.Store(0)
				eventually(t, "three more", func() bool { return probes.Load() >= 4 })
			}
			if all := wired.Load() >= 3; all != c.ok || c.ok != (testutil.ToFloat64(metrics.success) == 1) {
				t.Errorf("%d of %d probes were wired", wired.Load(), probes.Load())
			}
			if n := testutil.CollectAndCount(metrics.present); n != 1 { // that of the validating one
				t.Errorf("%d webhook configurations are present or missed", n)
			}
			if err := admin.Get(t.Context(), client.ObjectKeyFromObject(webhook), webhook.DeepCopy()); !apierrors.IsNotFound(err) {
				t.Errorf("the webhook that the policy replaces: %v", err)
			}
		})
	}
}

// refuse has a quota keep pods out of the namespace of the probe.
func refuse(t *testing.T, admin client.Client) {
	t.Helper()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "novawire-probe", Name: "none"}}
	quota.Spec.Hard = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	if err := admin.Create(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	quota.Status.Hard, quota.Status.Used = quota.Spec.Hard, quota.Spec.Hard // no controller does it here
	if err := admin.Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(t.Context()), quota); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "pods are refused", func() bool {
		return apierrors.IsForbidden(admin.Create(t.Context(), syntheticPod("novawire-probe"), client.DryRunAll))
	})
}

// annotate has a MutatingAdmissionPolicy give pods a status, as that of Novawire does.
func annotate(t *testing.T, admin client.Client, status string) {
	t.Helper()
	is := func(want string) func() bool {
		return func() bool {
			pod := syntheticPod("novawire-probe")
			return admin.Create(t.Context(), pod, client.DryRunAll) == nil && pod.Annotations["inject.nova.dev/status"] == want
		}
	}
	policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "novawire"}}
	policy.Spec = admissionv1.MutatingAdmissionPolicySpec{
		ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}}}},
		Mutations: []admissionv1.Mutation{{
			PatchType:          admissionv1.PatchTypeApplyConfiguration,
			ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: `Object{metadata: Object.metadata{annotations: {"inject.nova.dev/status": ` + "'" + status + "'" + `}}}`},
		}},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: policy.ObjectMeta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: policy.Name}}
	for _, o := range []client.Object{policy, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, o := range []client.Object{policy, binding} {
			if err := admin.Delete(ctx, o); err != nil {
				t.Error(err)
			}
		}
	})
	eventually(t, "the policy holds", is(status))
}
