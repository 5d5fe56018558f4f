//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"
	"sigs.k8s.io/e2e-framework/klient/wait"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/nova/novawire/api/injection"
)

// namespace is the namespace of a test and a client for it.
type namespace struct {
	*resources.Resources
	t    *testing.T
	name string
}

// inNamespace creates a namespace that enforces Pod Security "restricted" and, if wired
// is true, is opted in. It is deleted if the test passes; after a failure it stays for
// inspection.
func inNamespace(t *testing.T, wired bool) namespace {
	t.Helper()
	name := envconf.RandomName("e2e", 10)
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	if wired {
		labels[injection.LabelWiring] = injection.WiringEnabled
	}
	n := namespace{resourcesIn(t, name), t, name}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	n.create(object)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if err := n.Delete(context.Background(), object); err != nil {
			t.Errorf("delete namespace %s: %v", name, err)
		}
	})
	return n
}

// resourcesIn creates a client for a namespace. The framework's Client().Resources(name)
// changes the namespace of a client that all tests share.
func resourcesIn(t *testing.T, namespace string) *resources.Resources {
	t.Helper()
	r, err := resources.New(testenv.EnvConf().Client().RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return r.WithNamespace(namespace)
}

func (n namespace) create(object k8s.Object) {
	n.t.Helper()
	if err := n.Create(n.t.Context(), object); err != nil {
		n.t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

// pods returns the pods of an app that are not being deleted.
func (n namespace) pods(ctx context.Context, app string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := n.List(ctx, &list, resources.WithLabelSelector("app="+app)); err != nil {
		return nil, err
	}
	var live []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			live = append(live, pod)
		}
	}
	return live, nil
}

// pod waits until the app has one pod and wanted accepts it, and returns the pod.
func (n namespace) pod(app string, wanted func(*corev1.Pod) bool) (found *corev1.Pod) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("the pod of %s is as wanted", app), 2*time.Minute, func(ctx context.Context) (bool, error) {
		pods, err := n.pods(ctx, app)
		if err != nil || len(pods) != 1 {
			return false, err
		}
		found = &pods[0]
		return wanted(found), nil
	})
	return found
}

// eventually waits for a condition and fails the test if it does not become true.
func eventually(t *testing.T, what string, within time.Duration, condition func(context.Context) (bool, error)) {
	t.Helper()
	if err := poll(t, within, condition); err != nil {
		t.Fatalf("not within %s: %s: %v", within, what, err)
	}
}

func poll(t *testing.T, within time.Duration, condition func(context.Context) (bool, error)) error {
	return wait.For(condition, wait.WithContext(t.Context()), wait.WithTimeout(within),
		wait.WithImmediate(), wait.WithInterval(250*time.Millisecond))
}
