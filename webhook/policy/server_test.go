package policy_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/testing/cluster"
	"github.com/nova/novawire/webhook/policy"
)

// server is the API server of the tests.
type server struct{ client client.Client }

const plain = "plain" // a namespace that did not opt in

func newServer(t *testing.T) server {
	t.Helper()
	config := cluster.Config(t)
	config.WarningHandler = rest.NoWarnings{}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := server{c}
	s.create(t, namespace(plain, nil, nil))
	return s
}

func namespace(name string, labels, annotations map[string]string) *unstructured.Unstructured {
	ns := &unstructured.Unstructured{}
	ns.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	ns.SetName(name)
	ns.SetLabels(labels)
	ns.SetAnnotations(annotations)
	return ns
}

func clientKey(o *unstructured.Unstructured) client.ObjectKey { return client.ObjectKeyFromObject(o) }

func (s server) create(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	if err := s.client.Create(t.Context(), o); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
}

// install creates the namespace of a case, and a policy for the namespaces with its configuration.
func (s server) install(t *testing.T, c goldenCase) {
	t.Helper()
	text, err := policy.Write(c.config)
	if err != nil {
		t.Fatal(err)
	}
	id := hash(text)
	s.create(t, namespace(c.ns.Name, map[string]string{injection.LabelWiring: injection.WiringEnabled, "config": id}, c.ns.Annotations))
	for _, o := range objects(t, text) {
		o.SetName(id + strings.TrimPrefix(o.GetName(), policy.Name))
		if o.GetKind() == "MutatingAdmissionPolicy" { // a mistake in an expression would look like a pod that is skipped
			set(t, o, "Fail", "spec", "failurePolicy")
		} else {
			set(t, o, o.GetName(), "spec", "policyName")
			set(t, o, id, "spec", "matchResources", "namespaceSelector", "matchLabels", "config")
		}
		s.create(t, o)
	}
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

func set(t *testing.T, o *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

func objects(t *testing.T, text []byte) (list []*unstructured.Unstructured) {
	t.Helper()
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &o.Object); err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	return list
}

// dryRun returns the pod as the API server would store it in a namespace.
func (s server) dryRun(ctx context.Context, pod *unstructured.Unstructured, namespace string) (*unstructured.Unstructured, error) {
	created := pod.DeepCopy()
	created.SetNamespace(namespace)
	err := s.client.Create(ctx, created, client.DryRunAll)
	return created, err
}

// waitForPolicy waits until the API server uses the policy of a case.
func (s server) waitForPolicy(t *testing.T, c goldenCase) {
	t.Helper()
	pod := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte("{apiVersion: v1, kind: Pod, metadata: {name: probe}, spec: {containers: [{name: app, image: app}]}}"), &pod.Object); err != nil {
		t.Fatal(err)
	}
	var last *unstructured.Unstructured
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		var err error
		last, err = s.dryRun(ctx, pod, c.ns.Name)
		return err == nil && last.GetAnnotations()[injection.AnnotationStatus] != "", err
	})
	if err != nil {
		t.Fatalf("the policy does not work: %v: %v", err, last)
	}
}
