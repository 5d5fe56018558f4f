package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/webhook/inject"
	"github.com/nova/novawire/webhook/policy"
)

// newPod returns a pod from its spec as YAML.
func newPod(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	pod := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte("{apiVersion: v1, kind: Pod, metadata: {name: pod}, spec: "+spec+"}"), &pod.Object); err != nil {
		t.Fatal(err)
	}
	return pod
}

const app = "{containers: [{name: app, image: images.example/app:1, ports: [{name: metrics, containerPort: 9090}]}]}"

// applied applies the output of novawire policy as it is, changed by edit, for the namespaces with a
// label, and waits until a pod is changed.
func (s server) applied(t *testing.T, label string, edit func(text string) string) goldenCase {
	t.Helper()
	c := goldenCase{name: label, config: inject.DefaultConfig(), ns: inject.Namespace{Name: label}, pod: newPod(t, app)}
	text, err := policy.Write(c.config)
	if err != nil {
		t.Fatal(err)
	}
	s.create(t, namespace(label, map[string]string{injection.LabelWiring: injection.WiringEnabled, "test": label}, nil))
	for _, o := range objects(t, []byte(edit(string(text)))) {
		o.SetName(label)
		if o.GetKind() == "MutatingAdmissionPolicyBinding" {
			set(t, o, label, "spec", "policyName")
			set(t, o, label, "spec", "matchResources", "namespaceSelector", "matchLabels", "test")
		}
		s.create(t, o)
	}
	return c
}

func unchanged(text string) string { return text }

func TestPolicy_Selection(t *testing.T) {
	s := newServer(t)
	text, err := policy.Write(inject.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, text) {
		s.create(t, o)
		t.Cleanup(func() { _ = s.client.Delete(context.WithoutCancel(t.Context()), o) })
	}
	optedIn := map[string]string{injection.LabelWiring: injection.WiringEnabled}
	s.create(t, namespace("selected", optedIn, nil))
	system := namespace("kube-system", nil, nil)
	if err := s.client.Get(t.Context(), clientKey(system), system); err != nil {
		t.Fatal(err)
	}
	system.SetLabels(optedIn)
	if err := s.client.Update(t.Context(), system); err != nil {
		t.Fatal(err)
	}
	s.waitForPolicy(t, goldenCase{ns: inject.Namespace{Name: "selected"}})
	optedOut := newPod(t, app)
	optedOut.SetLabels(map[string]string{injection.LabelWiring: injection.WiringDisabled})
	for name, c := range map[string]struct {
		pod       *unstructured.Unstructured
		namespace string
		wired     bool
	}{
		"a pod of a namespace that opted in is wired":        {newPod(t, app), "selected", true},
		"a pod of another namespace is not":                  {newPod(t, app), plain, false},
		"a pod that opted out is not":                        {optedOut, "selected", false},
		"a pod of kube-system is not, whatever its labels":   {newPod(t, app), "kube-system", false},
		"a pod of the host network without a gateway is not": {newPod(t, strings.Replace(app, "{", "{hostNetwork: true, ", 1)), "selected", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.dryRun(t.Context(), c.pod, c.namespace)
			if err != nil {
				t.Fatal(err)
			}
			if status := got.GetAnnotations()[injection.AnnotationStatus]; (status != "") != c.wired {
				t.Errorf("the status is %q", status)
			}
		})
	}
	t.Run("a change of an existing pod does not wire it", func(t *testing.T) {
		later := namespace("later", nil, nil)
		s.create(t, later)
		pod := newPod(t, app)
		pod.SetNamespace("later")
		s.create(t, pod)
		later.SetLabels(optedIn)
		if err := s.client.Update(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		s.waitForPolicy(t, goldenCase{ns: inject.Namespace{Name: "later"}})
		pod.SetLabels(map[string]string{"changed": "true"})
		if err := s.client.Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		if pod.GetAnnotations() != nil || pod.GetLabels()["changed"] != "true" {
			t.Errorf("the pod is %v", pod)
		}
	})
}

// TestPolicy_Error breaks an expression that is evaluated late: the pod is created as it was.
func TestPolicy_Error(t *testing.T) {
	s := newServer(t)
	const healthy = "variables.allContainers.map(c, c.?image.orValue('').find("
	c := s.applied(t, "broken", func(text string) string {
		if !strings.Contains(text, healthy) {
			t.Fatal("the expression that the test breaks has changed")
		}
		return strings.Replace(text, healthy, "[1 / 0].all(x, x == 0) ? [] : "+healthy, 1)
	})
	// A second policy shows by a label when the first one, created before it, is used too.
	s.marker(t, c)
	got, err := s.dryRun(t.Context(), c.pod, c.ns.Name)
	if err != nil {
		t.Fatalf("the pod was refused: %v", err)
	}
	got.SetLabels(nil)
	s.checkSame(t, s.asItWas(t, c), got)
}

// marker creates a policy that sets a label, and waits until it works.
func (s server) marker(t *testing.T, c goldenCase) {
	t.Helper()
	const text = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: marker}
spec:
  reinvocationPolicy: Never
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]}
  mutations:
    - patchType: ApplyConfiguration
      applyConfiguration: {expression: "Object{metadata: Object.metadata{labels: {'marker': 'true'}}}"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: marker}
spec: {policyName: marker, matchResources: {namespaceSelector: {matchLabels: {test: broken}}}}
`
	for _, o := range objects(t, []byte(text)) {
		s.create(t, o)
	}
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		got, err := s.dryRun(ctx, c.pod, c.ns.Name)
		return err == nil && got.GetLabels()["marker"] == "true", err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPolicy_Cost shows where the API server's limit of cost is: a large pod is wired, and one that
// exceeds the limit is created as it was.
func TestPolicy_Cost(t *testing.T) {
	s := newServer(t)
	c := s.applied(t, "cost", unchanged)
	s.waitForPolicy(t, c)
	for _, size := range []struct {
		containers, variables int
		wired                 bool
	}{{1, 300, true}, {20, 50, true}, {60, 400, false}} {
		t.Run(fmt.Sprintf("%d containers with %d variables", size.containers, size.variables), func(t *testing.T) {
			got, err := s.dryRun(t.Context(), largePod(t, size.containers, size.variables), c.ns.Name)
			if err != nil {
				t.Fatal(err)
			}
			if _, wired := inject.ReadStatus(got.GetAnnotations()); wired != size.wired {
				t.Errorf("wired is %v", wired)
			}
		})
	}
}

func largePod(t *testing.T, containers, variables int) *unstructured.Unstructured {
	t.Helper()
	var list []map[string]any
	for i := range containers {
		var env []map[string]any
		for j := range variables {
			env = append(env, map[string]any{"name": fmt.Sprintf("OTEL_OR_NOT_%d", j), "value": "http://backend.example:8888/with/a/path"})
		}
		list = append(list, map[string]any{"name": fmt.Sprintf("c%d", i), "image": "images.example/app:1", "env": env, "args": []string{"--config", "/etc/app/config.yaml"}})
	}
	spec, err := json.Marshal(map[string]any{"containers": list})
	if err != nil {
		t.Fatal(err)
	}
	return newPod(t, string(spec))
}

// TestPolicy_BesideTheWebhook runs the engine on what the policy has made, as the API server does:
// policies come before webhooks.
func TestPolicy_BesideTheWebhook(t *testing.T) {
	s := newServer(t)
	c := s.applied(t, "beside", unchanged)
	s.waitForPolicy(t, c)
	port := newPod(t, strings.Replace(app, "9090", "4317", 1))
	for name, k := range map[string]struct {
		pod    *unstructured.Unstructured
		change func(*inject.Config)
		want   inject.Action
	}{
		"the webhook leaves a wired pod as it is":              {newPod(t, app), func(*inject.Config) {}, inject.Unchanged},
		"a webhook with another configuration wires it again":  {newPod(t, app), func(c *inject.Config) { c.ClusterName = "blue" }, inject.Rewired},
		"the webhook wires a pod that the policy leaves alone": {port, func(*inject.Config) {}, inject.Wired},
	} {
		t.Run(name, func(t *testing.T) {
			byPolicy, err := s.dryRun(t.Context(), k.pod, c.ns.Name)
			if err != nil {
				t.Fatal(err)
			}
			config := c.config
			k.change(&config)
			byBoth, result := review(t, config, c.ns, byPolicy)
			if result.Action != k.want {
				t.Errorf("the webhook's action is %s, want %s", result.Action, k.want)
			}
			first, _ := review(t, config, c.ns, s.asItWas(t, goldenCase{pod: k.pod}))
			if diff := cmp.Diff(comparable(t, s.stored(t, first)), comparable(t, s.stored(t, byBoth))); diff != "" {
				t.Errorf("-webhook alone +both:\n%s", diff)
			}
		})
	}
}
