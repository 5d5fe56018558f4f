package repair

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(cluster.Run(m))
}

const managerUser = "system:serviceaccount:novawire-system:novawire"

// labelled is an engine that reads a pod's state from its label "state".
type labelled struct{ hash string }

func (l labelled) State(pod *corev1.Pod, _ map[string]string) (drift.State, error) {
	state := injection.PodState(pod.Labels["state"])
	return drift.State{PodState: state, Reason: "Labelled", Message: string(state) + ": by its label"}, nil
}

func (l labelled) Hash(string) string { return l.hash }

// environment is a real API server with the controllers of drift and repair, which have the
// rights of the manifests, and with what stands in for the controllers of workloads.
type environment struct {
	*testing.T
	client    client.Client
	config    *rest.Config // of the manager
	metrics   *Metrics
	admission atomic.Bool
	settings  repairapi.Config
	hash      string
	stop      func()
	workloads *workloads
	writes    *cluster.Writes // of the manager
}

func newEnvironment(t *testing.T, mode repairapi.Mode, change ...func(*repairapi.Config)) *environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1
	admin, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	settings := repairapi.Default()
	settings.Mode, settings.PerMinute, settings.ReadyWithin = mode, 600, repairapi.Duration(4*time.Second)
	for _, c := range change {
		c(&settings)
	}
	e := &environment{
		T: t, client: admin, config: rest.CopyConfig(config), metrics: NewMetrics(prometheus.NewRegistry()), settings: settings, hash: strings.ToLower(t.Name()), writes: &cluster.Writes{},
	}
	e.config.Impersonate = rest.ImpersonationConfig{UserName: managerUser, Groups: []string{"system:authenticated"}}
	e.config.Wrap(e.writes.Record)
	e.admission.Store(true)
	install(t, admin, "base/rbac.yaml", "base/backup-rbac.yaml", "components/repair/repair.yaml")
	e.start()
	e.workloads = standIn(t, admin)
	return e
}

// install applies the rights and the policies of manifests.
func install(t *testing.T, c client.Client, files ...string) {
	t.Helper()
	kinds := map[string]func() client.Object{
		"ClusterRole":                      func() client.Object { return &rbacv1.ClusterRole{} },
		"ClusterRoleBinding":               func() client.Object { return &rbacv1.ClusterRoleBinding{} },
		"ValidatingAdmissionPolicy":        func() client.Object { return &admissionv1.ValidatingAdmissionPolicy{} },
		"ValidatingAdmissionPolicyBinding": func() client.Object { return &admissionv1.ValidatingAdmissionPolicyBinding{} },
	}
	for _, file := range files {
		text, err := os.ReadFile("../../manifests/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Fatal(err)
			}
			if kinds[kind.Kind] == nil {
				continue
			}
			o := kinds[kind.Kind]()
			if err := yaml.UnmarshalStrict([]byte(document), o); err != nil {
				t.Fatal(err)
			}
			if err := c.Create(t.Context(), o); client.IgnoreAlreadyExists(err) != nil {
				t.Fatal(err)
			}
		}
	}
}

// start starts the controllers; stop ends them.
func (e *environment) start() {
	e.Helper()
	mgr, err := manager.New(e.config, manager.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		e.Fatal(err)
	}
	engine := func() drift.Engine { return labelled{e.hash} }
	r, err := Add(mgr, Options{Config: func() repairapi.Config { return e.settings }, Engine: engine, AdmissionWorks: e.admission.Load, Metrics: e.metrics})
	if err != nil {
		e.Fatal(err)
	}
	pods, err := drift.NewCache(e.config, cache.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		e.Fatal(err)
	}
	if err := mgr.Add(pods); err != nil {
		e.Fatal(err)
	}
	options := drift.Options{Engine: engine, Metrics: drift.NewMetrics(prometheus.NewRegistry()), Changed: make(chan event.GenericEvent), Found: r.Found, Cache: pods}
	if err := drift.Add(mgr, options); err != nil {
		e.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.Context()))
	go func() { ended <- mgr.Start(ctx) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			e.Error(err)
		}
	})
	e.Cleanup(e.stop)
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

// namespace creates a namespace that opted in. Its workloads are deleted at the end of the
// test, because marks count in the whole cluster.
func (e *environment) namespace() string {
	e.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "repair-", Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}}
	e.create(ns)
	e.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "default"}})
	e.Cleanup(func() { e.workloads.remove(ns.Name) })
	e.workloads.serve(ns.Name)
	return ns.Name
}

// pods returns the pods of an app as "name state", sorted, and their UIDs.
func (e *environment) pods(ns, app string) (states, uids []string) {
	e.Helper()
	var list corev1.PodList
	if err := e.client.List(e.Context(), &list, client.InNamespace(ns), client.MatchingLabels{"app": app}); err != nil {
		e.Fatal(err)
	}
	for _, pod := range list.Items {
		states, uids = append(states, pod.Labels["state"]), append(uids, string(pod.UID))
	}
	slices.Sort(states)
	slices.Sort(uids)
	return states, uids
}

// become waits until an app has exactly pods in these states, all of them ready.
func (e *environment) become(ns, app string, want ...string) {
	e.Helper()
	var got []string
	e.eventually("the pods of "+app, func() bool { got, _ = e.pods(ns, app); return slices.Equal(got, want) }, func() any { return got })
}

// status waits until a workload has this phase.
func (e *environment) status(k key, want repairapi.Phase) (read client.Object) {
	e.Helper()
	e.eventually("the status of "+k.String(), func() bool {
		read = e.read(k)
		return repairapi.ReadStatus(read.GetAnnotations()).Phase == want
	}, func() any { return read.GetAnnotations() })
	return read
}

func (e *environment) read(k key) client.Object { return e.target(k).object }

func (e *environment) target(k key) *target {
	e.Helper()
	t, err := (&Repairer{live: e.client}).read(e.Context(), k)
	if err != nil {
		e.Fatal(err)
	}
	return t
}

// event waits for an Event about an object whose note contains a text.
func (e *environment) event(ns, reason, text string) {
	e.Helper()
	var notes []string
	e.eventually("the Event "+reason, func() bool {
		notes = nil
		for _, event := range e.events(ns) {
			notes = append(notes, event.Reason+": "+event.Note)
			if event.Reason == reason && strings.Contains(event.Note, text) {
				return true
			}
		}
		return false
	}, func() any { return notes })
}

func (e *environment) events(ns string) []eventsv1.Event {
	e.Helper()
	var list eventsv1.EventList
	if err := e.client.List(e.Context(), &list, client.InNamespace(ns)); err != nil {
		e.Fatal(err)
	}
	return list.Items
}

func (e *environment) counted(mode repairapi.Mode, result string) float64 {
	return testutil.ToFloat64(e.metrics.repairs.WithLabelValues(string(mode), result))
}

// waits waits until a number of workloads waits for a reason.
func (e *environment) waits(reason string, want float64) {
	e.Helper()
	var got float64
	e.eventually("workloads that wait: "+reason, func() bool {
		got = testutil.ToFloat64(e.metrics.waiting.WithLabelValues(reason))
		return got == want
	}, func() any { return got })
}

func (e *environment) eventually(what string, condition func() bool, shown func() any) {
	e.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); {
		if time.Now().After(deadline) {
			e.Fatalf("not within a minute: %s: %v", what, shown())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-e.Context().Done():
		}
	}
}
