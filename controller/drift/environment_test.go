package drift

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(cluster.Run(m))
}

// labelled is an engine that reads a pod's state from its label "state"; its hash is the
// configuration. It counts what it decides.
type labelled struct {
	mu        sync.Mutex
	hash      string
	decisions int
}

func (l *labelled) State(pod *corev1.Pod, _ map[string]string) (State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.decisions++
	state := injection.PodState(pod.Labels["state"])
	return State{PodState: state, Reason: "For" + string(state), Message: string(state) + ": for a reason", Act: state != injection.PodStale}, nil
}

func (l *labelled) Hash(string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hash
}

func (l *labelled) reconfigure(hash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hash = hash
}

func (l *labelled) decided() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.decisions
}

// environment is a running controller with a real API server.
type environment struct {
	*testing.T
	client  client.Client
	engine  *labelled
	metrics *Metrics
	changed chan event.GenericEvent
	writes  *cluster.Writes
}

// newEnvironment starts the controller with the rights of the given manifests and no others.
func newEnvironment(t *testing.T, roles ...string) *environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1
	admin, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := &environment{
		T: t, client: admin, engine: &labelled{hash: "first"}, metrics: NewMetrics(prometheus.NewRegistry()),
		changed: make(chan event.GenericEvent, 1), writes: &cluster.Writes{},
	}
	restricted := e.restricted(config, append(roles, "base/rbac.yaml", "base/backup-rbac.yaml"))
	restricted.Wrap(e.writes.Record)
	mgr, err := manager.New(restricted, manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	pods, err := NewCache(restricted, cache.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		t.Fatal(err)
	}
	if err := mgr.Add(pods); err != nil {
		t.Fatal(err)
	}
	if err := Add(mgr, Options{Engine: func() Engine { return e.engine }, Metrics: e.metrics, Changed: e.changed, Cache: pods}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// restricted returns the configuration of a user of this test with the rights of the manifests.
func (e *environment) restricted(config *rest.Config, files []string) *rest.Config {
	e.Helper()
	user := strings.ToLower(e.Name())
	for _, file := range files {
		text, err := os.ReadFile("../../manifests/" + file)
		if err != nil {
			e.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			var role rbacv1.ClusterRole
			if err := yaml.Unmarshal([]byte(document), &role); err != nil || role.Kind != "ClusterRole" {
				continue
			}
			role.Name += "-" + user
			e.create(&role)
			e.create(&rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: role.Name},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
			})
		}
	}
	as := rest.CopyConfig(config)
	as.Impersonate.UserName = user
	return as
}

func (e *environment) create(o client.Object) {
	e.Helper()
	if err := e.client.Create(e.Context(), o); err != nil {
		e.Fatal(err)
	}
}

func (e *environment) patch(o client.Object, text string) {
	e.Helper()
	if err := e.client.Patch(e.Context(), o, client.RawPatch("application/merge-patch+json", []byte(text))); err != nil {
		e.Fatal(err)
	}
}

// namespace creates a namespace that opted in.
func (e *environment) namespace() *corev1.Namespace {
	e.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "drift-", Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}}
	e.create(ns)
	return ns
}

// pod creates a pod in a state, of a ReplicaSet or, if that is "", of nobody.
func (e *environment) pod(ns, name, replicaSet string, state injection.PodState) *corev1.Pod {
	e.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"state": string(state)}}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "app"}},
	}}
	if replicaSet != "" {
		controls := true
		pod.Labels["pod-template-hash"] = "7d9c"
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: replicaSet + "-7d9c", UID: types.UID("uid-" + replicaSet), Controller: &controls}}
	}
	e.create(pod)
	return pod
}

// shows waits until the gauge of a namespace has these numbers: wired, missing, stale,
// changed and skipped.
func (e *environment) shows(ns string, want ...float64) {
	e.Helper()
	var got []float64
	e.eventually("the numbers of pods", func() bool {
		got = nil
		for _, state := range injection.PodStates() {
			got = append(got, testutil.ToFloat64(e.metrics.pods.WithLabelValues(ns, string(state))))
		}
		return slices.Equal(got, want)
	}, func() any { return got })
}

func (e *environment) eventually(what string, condition func() bool, shown func() any) {
	e.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			e.Fatalf("not within 30 seconds: %s: %v", what, shown())
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-e.Context().Done():
		}
	}
}

// events returns the Events of a namespace, each as type, reason, object and note.
func (e *environment) events(ns string) (lines []string) {
	e.Helper()
	var list eventsv1.EventList
	if err := e.client.List(e.Context(), &list, client.InNamespace(ns)); err != nil {
		e.Fatal(err)
	}
	for _, event := range list.Items {
		lines = append(lines, event.Type+" "+event.Reason+" "+event.Regarding.Kind+"/"+event.Regarding.Name+": "+event.Note)
	}
	slices.Sort(lines)
	return lines
}

// status returns the status annotation of a namespace.
func (e *environment) status(ns *corev1.Namespace) string {
	e.Helper()
	if err := e.client.Get(e.Context(), client.ObjectKeyFromObject(ns), ns); err != nil {
		e.Fatal(err)
	}
	return ns.Annotations[injection.AnnotationStatus]
}
