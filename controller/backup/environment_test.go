package backup

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/backup/resources"
	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Run(m)) }

// environment is a namespace of a real API server and a running controller. There is no
// kubelet and no Job controller: the tests create what those would.
type environment struct {
	*testing.T
	client    client.Client
	namespace string
	registry  *prometheus.Registry
	writes    *writes
	changed   chan event.GenericEvent
	mu        sync.Mutex
	config    resources.Config
	stop      func()
	secrets   bool // watched
}

func testConfig() resources.Config {
	c := resources.DefaultConfig()
	c.Defaults = map[string]string{backupapi.AnnotationBucket: "s3://nova-backups/test"}
	return c
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	config := cluster.Config(t)
	config.QPS = -1
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &environment{T: t, client: c, config: testConfig(), writes: &writes{}, secrets: true}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "schedule-", Labels: map[string]string{injection.LabelWiring: injection.WiringEnabled}}}
	b.create(ns)
	b.namespace = ns.Name
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

// start runs the controller as a manager that has just become the leader does.
func (b *environment) start() {
	b.Helper()
	config := cluster.Config(b)
	config.QPS = -1
	config.Wrap(b.writes.count)
	cache := CacheOptions()
	mgr, err := ctrlmanager.New(config, ctrlmanager.Options{
		Cache: cache, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		b.Fatal(err)
	}
	b.registry, b.changed = prometheus.NewRegistry(), make(chan event.GenericEvent)
	statuses := NewStatusCache()
	RegisterMetrics(b.registry, statuses)
	if err := Add(mgr, Options{Config: b.configNow, Statuses: statuses, Changed: b.changed, Secrets: b.secrets}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Errorf("the manager ended: %v", err)
		}
	})
}

func (b *environment) configNow() resources.Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.config
}

// reconfigure changes the configuration.
func (b *environment) reconfigure(change func(*resources.Config)) {
	b.mu.Lock()
	change(&b.config)
	b.mu.Unlock()
	b.changed <- event.GenericEvent{Object: &appsv1.StatefulSet{}}
}

// writes records the requests that change something. The first one that is
// fail, a method and the end of a path, does not reach the server.
type writes struct {
	mu     sync.Mutex
	calls  []string
	fail   string
	failed bool
}

func (w *writes) failOnce(call string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail, w.failed = call, false
}

func (w *writes) hasFailed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

func (w *writes) mustFail(method, path string) bool {
	if w.fail == "" || w.failed {
		return false
	}
	want, end, _ := strings.Cut(w.fail, " ")
	w.failed = method == want && strings.HasSuffix(path, end)
	return w.failed
}

func (w *writes) count(next http.RoundTripper) http.RoundTripper {
	return cluster.RoundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events") {
			w.mu.Lock()
			w.calls = append(w.calls, r.Method+" "+r.URL.Path)
			fail := w.mustFail(r.Method, r.URL.Path)
			w.mu.Unlock()
			if fail {
				return nil, errors.New("the connection was lost")
			}
		}
		return next.RoundTrip(r)
	})
}

func (w *writes) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.calls...)
}

func (b *environment) create(o client.Object) {
	b.Helper()
	if err := b.client.Create(b.Context(), o); err != nil {
		b.Fatal(err)
	}
}

// statefulSet creates a PostgreSQL StatefulSet with annotations.
func (b *environment) statefulSet(name string, annotations map[string]string) *appsv1.StatefulSet {
	b.Helper()
	s := postgres(name)
	s.Namespace, s.Annotations = b.namespace, annotations
	b.create(s)
	return s
}

func postgres(name string) *appsv1.StatefulSet {
	labels := map[string]string{"app": name}
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: name,
			Selector:    &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{
					{Name: "exporter", Image: "postgres-exporter:1"},
					{Name: "db", Image: "postgres:17", Ports: []corev1.ContainerPort{{Name: "pg", ContainerPort: 5432}}},
				}},
			},
		},
	}
}

// annotate changes annotations; an empty value removes one.
func (b *environment) annotate(s *appsv1.StatefulSet, annotations map[string]string) {
	b.Helper()
	before := s.DeepCopy()
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	for key, value := range annotations {
		if value == "" {
			delete(s.Annotations, key)
		} else {
			s.Annotations[key] = value
		}
	}
	if err := b.client.Patch(b.Context(), s, client.MergeFrom(before)); err != nil {
		b.Fatal(err)
	}
}

// eventually waits until wrong returns "", and fails the test with what it returned last.
func (b *environment) eventually(what string, wrong func() string) {
	b.Helper()
	b.within(30*time.Second, what, wrong)
}

func (b *environment) within(patience time.Duration, what string, wrong func() string) {
	b.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		problem := wrong()
		if problem == "" {
			return
		}
		select {
		case <-deadline.C:
			b.Fatalf("%s: %s", what, problem)
		case <-poll.C:
		}
	}
}

func (b *environment) cronJob(name string) *batchv1.CronJob {
	b.Helper()
	o := &batchv1.CronJob{}
	err := b.client.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// awaitCronJob waits for a CronJob for which wrong returns "".
func (b *environment) awaitCronJob(name string, wrong func(*batchv1.CronJob) string) *batchv1.CronJob {
	b.Helper()
	var o *batchv1.CronJob
	b.eventually("CronJob "+name, func() string {
		if o = b.cronJob(name); o == nil {
			return "does not exist"
		}
		return wrong(o)
	})
	return o
}

func running(o *batchv1.CronJob) string {
	if *o.Spec.Suspend || o.Annotations[resources.AnnotationSuspendReason] != "" {
		return "is suspended: " + o.Annotations[resources.AnnotationSuspendReason]
	}
	return ""
}

func suspended(reason string) func(*batchv1.CronJob) string {
	return func(o *batchv1.CronJob) string {
		if got := o.Annotations[resources.AnnotationSuspendReason]; !*o.Spec.Suspend || got != reason {
			return "suspended because of " + got
		}
		return ""
	}
}

// status returns the status annotation of a StatefulSet.
func (b *environment) status(name string) backupapi.Status {
	b.Helper()
	s := &appsv1.StatefulSet{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, s); err != nil {
		b.Fatal(err)
	}
	status, err := backupapi.ParseStatus(s.Annotations[backupapi.AnnotationStatus])
	if err != nil {
		b.Fatal(err)
	}
	return status
}

func (b *environment) awaitStatus(name, what string, is func(backupapi.Status) bool) backupapi.Status {
	b.Helper()
	var s backupapi.Status
	b.eventually("status of "+name, func() string {
		if s = b.status(name); is(s) {
			return ""
		}
		return "not yet " + what + ": " + s.Encode()
	})
	return s
}

// awaitEvent waits for an Event whose note contains a text.
func (b *environment) awaitEvent(reason, text string) {
	b.Helper()
	b.eventually("Event "+reason, func() string {
		var list eventsv1.EventList
		if err := b.client.List(b.Context(), &list, client.InNamespace(b.namespace)); err != nil {
			b.Fatal(err)
		}
		var seen []string
		for _, e := range list.Items {
			if e.Reason == reason && strings.Contains(e.Note, text) {
				return ""
			}
			seen = append(seen, e.Reason+": "+e.Note)
		}
		return "no Event contains " + text + ", but: " + strings.Join(seen, "\n")
	})
}

// notes returns the notes of all Events with a reason.
func (b *environment) notes(reason string) (notes []string) {
	b.Helper()
	var list eventsv1.EventList
	if err := b.client.List(b.Context(), &list, client.InNamespace(b.namespace)); err != nil {
		b.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Reason == reason {
			notes = append(notes, e.Note)
		}
	}
	return notes
}

// ran creates a pod of a Job that ended with a report, as the kubelet would.
func (b *environment) ran(statefulSet, verb, name string, code int32, message string) *corev1.Pod {
	b.Helper()
	pod := b.pod(statefulSet, verb, name)
	b.end(pod, code, message)
	return pod
}

// end sets the status of a pod that has ended.
func (b *environment) end(pod *corev1.Pod, code int32, message string) {
	b.Helper()
	pod.Status.Phase = corev1.PodFailed
	if code == 0 {
		pod.Status.Phase = corev1.PodSucceeded
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: resources.Container, Image: "postgres:17",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Message: message, StartedAt: metav1.Now(), FinishedAt: metav1.Now(), ContainerID: "containerd://x",
		}},
	}}
	b.setStatus(pod)
}

func (b *environment) pod(statefulSet, verb, name string) *corev1.Pod {
	b.Helper()
	labels := resources.PodLabels(b.set(statefulSet), verb)
	labels[batchv1.JobNameLabel] = name
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: resources.Container, Image: "postgres:17"}}, RestartPolicy: corev1.RestartPolicyNever},
	}
	b.create(pod)
	return pod
}

func (b *environment) setStatus(pod *corev1.Pod) {
	b.Helper()
	if err := b.client.Status().Update(b.Context(), pod); err != nil {
		b.Fatal(err)
	}
}

func (b *environment) delete(o client.Object) {
	b.Helper()
	if err := b.client.Delete(b.Context(), o, client.GracePeriodSeconds(0)); err != nil {
		b.Fatal(err)
	}
}
