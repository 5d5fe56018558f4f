package repair

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/internal/workload"
)

// steps is a Repairer whose clock, cluster and looks the test decides about, one by one.
type steps struct {
	*testing.T
	client    client.Client
	repairer  *Repairer
	recorder  *events.FakeRecorder
	settings  repairapi.Config
	key       key
	now       time.Time
	admission bool
	refuse    func(pod string, dryRun bool) error // of evictions
	evicted   []string
	pods      int
}

// newSteps returns the steps of a workload whose pods are ready, and missing their wiring.
func newSteps(t *testing.T, kind string, replicas int) *steps {
	t.Helper()
	s := &steps{
		T: t, recorder: events.NewFakeRecorder(1000), settings: repairapi.Default(), now: time.Date(2026, 11, 27, 1, 0, 0, 0, time.UTC), admission: true,
		refuse: func(string, bool) error { return nil },
	}
	s.settings.Mode = repairapi.Evict
	s.client = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{Create: s.create, SubResourceCreate: s.evict}).Build()
	s.repairer = &Repairer{
		Options: Options{
			Config: func() repairapi.Config { return s.settings }, Engine: func() drift.Engine { return labelled{"config"} },
			AdmissionWorks: func() bool { return s.admission }, Metrics: NewMetrics(prometheus.NewRegistry()),
		},
		client: s.client, live: s.client, cache: s.client, events: s.recorder, now: func() time.Time { return s.now },
		drifted: map[string]map[key]bool{}, proven: map[string]bool{}, running: map[key]*progress{}, waiting: map[key]string{}, told: map[key]string{},
	}
	s.namespace("nova", injection.WiringEnabled)
	s.key = s.workload(kind, "nova", "feed", replicas, "")
	s.repairer.Found("nova", []workload.Owner{{Kind: kind, Name: "feed"}})
	for range replicas {
		s.pod(missing, true)
	}
	s.now = s.now.Add(time.Hour)
	return s
}

// create answers dry runs by the clock of the test.
func (s *steps) create(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
	o.SetCreationTimestamp(metav1.NewTime(s.now))
	return c.Create(ctx, o, options...)
}

func (s *steps) evict(_ context.Context, _ client.Client, _ string, o, sub client.Object, _ ...client.SubResourceCreateOption) error {
	eviction, ok := sub.(*policyv1.Eviction)
	if !ok {
		return fmt.Errorf("%T is no eviction", sub)
	}
	dryRun := len(eviction.DeleteOptions.DryRun) > 0
	if err := s.refuse(o.GetName(), dryRun); err != nil || dryRun {
		return err
	}
	s.evicted = append(s.evicted, o.GetName())
	return nil
}

func (s *steps) namespace(name, wiring string) {
	s.Helper()
	s.do(s.client.Create(s.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{injection.LabelWiring: wiring}}}))
}

// workload creates a workload at rest, with a status annotation if there is one.
func (s *steps) workload(kind, ns, name string, n int, mark string) key {
	s.Helper()
	meta := metav1.ObjectMeta{Namespace: ns, Name: name}
	if mark != "" {
		meta.Annotations = map[string]string{injection.AnnotationRepairStatus: mark}
	}
	count, selector := int32(n), &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name, "state": wired}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	if kind == "StatefulSet" {
		o := &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &count, Selector: selector, Template: template}}
		s.do(s.client.Create(s.Context(), o))
		o.Status = appsv1.StatefulSetStatus{Replicas: count, AvailableReplicas: count}
		s.do(s.client.Status().Update(s.Context(), o))
	} else {
		o := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &count, Selector: selector, Template: template}}
		s.do(s.client.Create(s.Context(), o))
		o.Status = appsv1.DeploymentStatus{Replicas: count, UpdatedReplicas: count, AvailableReplicas: count}
		s.do(s.client.Status().Update(s.Context(), o))
	}
	return key{kind, ns, name}
}

// pod creates a pod of the workload now, and returns its name.
func (s *steps) pod(state injection.PodState, ready bool) string {
	s.Helper()
	s.pods++
	pod := ownedPod("nova", s.key.name, s.key.kind, fmt.Sprintf("%s-%d", s.key.name, s.pods))
	pod.UID, pod.Labels["state"] = types.UID(pod.Name), string(state)
	s.do(s.client.Create(s.Context(), pod))
	s.ready(pod.Name, ready)
	return pod.Name
}

func (s *steps) ready(name string, ready bool) {
	s.Helper()
	s.change(name, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		status := corev1.ConditionFalse
		if ready {
			status = corev1.ConditionTrue
		}
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	})
}

func (s *steps) change(name string, change func(*corev1.Pod)) {
	s.Helper()
	var pod corev1.Pod
	s.do(s.client.Get(s.Context(), client.ObjectKey{Namespace: "nova", Name: name}, &pod))
	change(&pod)
	s.do(s.client.Status().Update(s.Context(), pod.DeepCopy()))
	pod.ResourceVersion = ""
	s.do(s.client.Update(s.Context(), &pod))
}

func (s *steps) remove(name string) {
	s.Helper()
	s.do(s.client.Delete(s.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "nova", Name: name}}))
}

// replaced has the pod that was evicted last replaced.
func (s *steps) replaced(ready bool) string {
	s.Helper()
	s.remove(s.evicted[len(s.evicted)-1])
	return s.pod(injection.PodWired, ready)
}

// look has the Repairer look at the workload after a time.
func (s *steps) look(after time.Duration) {
	s.Helper()
	s.now = s.now.Add(after)
	if _, err := s.repairer.Reconcile(s.Context(), s.key.request()); err != nil {
		s.Fatal(err)
	}
}

func (s *steps) patch(text string) {
	s.Helper()
	s.do(s.client.Patch(s.Context(), s.object(), client.RawPatch("application/merge-patch+json", []byte(text))))
}

func (s *steps) object() client.Object {
	s.Helper()
	t, err := s.repairer.read(s.Context(), s.key)
	s.do(err)
	return t.object
}

// phase fails the test unless the workload has this phase and so many pods were evicted.
func (s *steps) phase(want repairapi.Phase, evicted int) {
	s.Helper()
	if got := repairapi.ReadStatus(s.object().GetAnnotations()); got.Phase != want || len(s.evicted) != evicted {
		s.Fatalf("%q (%s), evicted %v; want %q, %d evictions", got.Phase, got.Reason, s.evicted, want, evicted)
	}
}

func (s *steps) do(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// waits reports whether a workload waits for a reason.
func (s *steps) waits(reason string) {
	s.Helper()
	if testutil.ToFloat64(s.repairer.Metrics.waiting.WithLabelValues(reason)) != 1 {
		s.Fatalf("does not wait for %s: %v", reason, s.repairer.waiting)
	}
}

// told fails the test unless an Event contains a text.
func (s *steps) told(text string) {
	s.Helper()
	var all []string
	for {
		select {
		case event := <-s.recorder.Events:
			if all = append(all, event); strings.Contains(event, text) {
				return
			}
		default:
			s.Fatalf("no Event with %q: %q", text, all)
		}
	}
}
