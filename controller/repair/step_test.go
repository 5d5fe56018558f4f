package repair

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
)

const unmarked = `{"metadata":{"annotations":{"inject.nova.dev/repair-status":null}}}`

// What becomes unready after the replacement was ready is not the work of the repair.
func TestStep_UnreadyWhileItWaits(t *testing.T) {
	t.Run("a pod that somebody else replaced is waited for, however long the repair has waited", func(t *testing.T) {
		s := newSteps(t, "Deployment", 3)
		s.look(0)
		s.phase(repairapi.Running, 1)
		first := s.replaced(true)
		s.admission = false
		s.look(time.Second)
		s.now = s.now.Add(time.Hour)
		s.remove(first) // a drain
		drained := s.pod(injection.PodWired, false)
		s.look(5 * time.Second)
		s.phase(repairapi.Running, 1)
		s.ready(drained, true)
		s.look(time.Minute)
		s.phase(repairapi.Running, 1)
		s.admission = true
		s.look(time.Second)
		s.phase(repairapi.Running, 2)
	})
	t.Run("a look that comes late undoes nothing for a pod it has not seen before", func(t *testing.T) {
		s := newSteps(t, "Deployment", 3)
		s.look(0)
		s.now = s.now.Add(time.Hour)
		s.replaced(false)
		s.look(5 * time.Second)
		s.phase("", 1)
	})
	t.Run("if it is not ready in time, the repair ends, and nothing is undone", func(t *testing.T) {
		s := newSteps(t, "Deployment", 3)
		s.look(0)
		first := s.replaced(true)
		s.admission = false
		s.look(time.Second)
		s.ready(first, false)
		s.look(time.Hour)
		s.look(6 * time.Minute)
		s.phase("", 1)
		s.told("pod feed-4 is not ready")
	})
	t.Run("the replacement itself has its time from when it was seen", func(t *testing.T) {
		s := newSteps(t, "Deployment", 3)
		s.look(0)
		s.replaced(false)
		s.look(4 * time.Minute)
		s.phase(repairapi.Running, 1)
		s.look(5 * time.Minute)
		s.phase(repairapi.Undone, 1)
	})
}

func TestStep_MarkRemoved(t *testing.T) {
	for name, change := range map[string]func(*steps){
		"while the probe fails":    func(s *steps) { s.admission = false },
		"above the rate":           func(s *steps) { s.settings.PerMinute = 1; s.repairer.next = s.now.Add(time.Hour) },
		"where nobody asks for it": func(s *steps) { s.settings.Mode = repairapi.None },
		"outside of the windows": func(s *steps) {
			s.settings.Windows = []repairapi.Window{{Schedule: "0 22 * * *", Duration: repairapi.Duration(time.Minute)}}
		},
		"with the cache behind it": func(s *steps) { s.admission = false; s.repairer.cache = behind{s.repairer.cache} },
		"and it is another manager": func(s *steps) {
			s.admission = false
			s.repairer.cache = behind{s.repairer.cache}
			s.repairer.running = map[key]*progress{}
		},
	} {
		t.Run(name+", nothing is evicted and nothing is marked", func(t *testing.T) {
			s := newSteps(t, "Deployment", 3)
			s.look(0)
			s.replaced(true)
			s.patch(unmarked)
			change(s)
			for range 3 {
				s.look(time.Minute)
				s.phase("", 1)
			}
		})
	}
	t.Run("the repair ends, and says so", func(t *testing.T) {
		s := newSteps(t, "Deployment", 3)
		s.look(0)
		s.replaced(true)
		s.patch(unmarked)
		s.look(time.Minute)
		s.phase("", 1)
		s.told("somebody removed the annotation")
	})
}

// behind is a cache that still has the mark.
type behind struct{ client.Reader }

func (b behind) Get(ctx context.Context, k client.ObjectKey, o client.Object, options ...client.GetOption) error {
	err := b.Reader.Get(ctx, k, o, options...)
	if o.GetObjectKind().GroupVersionKind().Kind != "Namespace" {
		o.SetAnnotations(map[string]string{injection.AnnotationRepairStatus: repairapi.Status{Phase: repairapi.Running}.String()})
	}
	return err
}

func TestStep_PausedMeanwhile(t *testing.T) {
	t.Run("no further pod is evicted", func(t *testing.T) {
		s := newSteps(t, "Deployment", 3)
		s.look(0)
		s.replaced(true)
		s.patch(`{"spec":{"paused":true}}`)
		s.look(time.Minute)
		s.phase("", 1)
		s.told("its roll-outs are paused")
		s.look(time.Minute)
		s.phase("", 1)
		s.waits(waitUnable)
	})
	t.Run("a repair that has to be undone says what is left to do", func(t *testing.T) {
		s := newSteps(t, "Deployment", 3)
		s.look(0)
		s.replaced(false)
		s.patch(`{"spec":{"paused":true}}`)
		s.look(time.Second)
		s.look(6 * time.Minute)
		s.phase(repairapi.Undone, 1)
		s.told("its pods start without wiring once it rolls out (now its roll-outs are paused")
	})
}

func TestStep_TerminatingPod(t *testing.T) {
	terminate := func(s *steps, grace time.Duration) string {
		name := s.evicted[0]
		s.change(name, func(pod *corev1.Pod) { pod.Finalizers = []string{"nova.dev/test"} })
		s.remove(name)
		s.repairer.live = terminating{s.client, s.now.Add(grace)}
		return name
	}
	t.Run("its grace period is waited for", func(t *testing.T) {
		s := newSteps(t, "StatefulSet", 2)
		s.look(0)
		name := terminate(s, time.Hour)
		for range 59 {
			s.look(time.Minute)
			s.phase(repairapi.Running, 1)
		}
		s.change(name, func(pod *corev1.Pod) { pod.Finalizers = nil })
		s.look(30 * time.Second) // it is gone, and its replacement not there yet
		s.phase(repairapi.Running, 1)
		s.pod(injection.PodWired, true)
		s.look(time.Minute)
		s.phase(repairapi.Running, 2)
	})
	t.Run("one that never goes ends the repair, and nothing is undone", func(t *testing.T) {
		s := newSteps(t, "StatefulSet", 2)
		s.look(0)
		terminate(s, time.Minute)
		for range 10 {
			s.look(time.Minute)
		}
		s.phase("", 1)
		s.told("is terminating")
	})
	t.Run("one that is gone without a replacement undoes it", func(t *testing.T) {
		s := newSteps(t, "StatefulSet", 2)
		s.look(0)
		s.remove(s.evicted[0])
		s.look(6 * time.Minute)
		s.phase(repairapi.Undone, 1)
	})
}

// terminating sets the end of the grace period, which the API server sets.
type terminating struct {
	client.Reader
	end time.Time
}

func (t terminating) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := t.Reader.List(ctx, list, options...)
	if pods, ok := list.(*corev1.PodList); ok {
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp != nil {
				pods.Items[i].DeletionTimestamp = &metav1.Time{Time: t.end}
			}
		}
	}
	return err
}

// A repair that waits for what it did not cause holds the first repair of all others.
func TestStep_OldPodUnready(t *testing.T) {
	s := newSteps(t, "Deployment", 3)
	s.look(0)
	s.replaced(true)
	s.ready("feed-2", false)
	s.look(time.Second)
	s.phase(repairapi.Running, 1)
	s.look(6 * time.Minute)
	s.phase("", 1)
	s.told("pod feed-2 is not ready")
	if s.repairer.othersRun(t.Context(), key{"Deployment", "nova", "other"}) {
		t.Error("others wait for it")
	}
	s.look(time.Minute)
	s.waits(waitUnsettled)
	s.ready("feed-2", true)
	s.look(time.Minute)
	s.phase(repairapi.Running, 2)
}

// Marks count where repair is on, and no namespace stops all others alone.
func TestStep_MarksOfOthers(t *testing.T) {
	undone := repairapi.Status{Phase: repairapi.Undone, Config: "config"}.String()
	running := repairapi.Status{Phase: repairapi.Running, Config: "config"}.String()
	for name, c := range map[string]struct {
		wiring, repair, mark string
		namespaces           int
		waits                string
	}{
		"failures where nothing is wired do not count":         {injection.WiringDisabled, "evict", undone, 3, ""},
		"failures where nothing is repaired do not count":      {injection.WiringEnabled, "none", undone, 3, ""},
		"failures of one namespace do not stop another":        {injection.WiringEnabled, "evict", undone, 1, ""},
		"failures of three namespaces stop all":                {injection.WiringEnabled, "evict", undone, 3, waitFailures},
		"a running repair where nothing is wired is no repair": {injection.WiringDisabled, "evict", running, 1, ""},
		"a running repair is waited for":                       {injection.WiringEnabled, "evict", running, 1, waitFirst},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSteps(t, "Deployment", 1)
			for i := range c.namespaces {
				ns := fmt.Sprintf("other-%d", i)
				s.namespace(ns, c.wiring)
				s.do(s.client.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}},
					client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"inject.nova.dev/repair":"`+c.repair+`"}}}`))))
				for j := range 3 {
					s.workload("Deployment", ns, fmt.Sprintf("marked-%d", j), 1, c.mark)
				}
			}
			s.look(0)
			if c.waits != "" {
				s.phase("", 0)
				s.waits(c.waits)
				return
			}
			s.phase(repairapi.Running, 1)
		})
	}
	t.Run("three failures of its own namespace stop it", func(t *testing.T) {
		s := newSteps(t, "Deployment", 1)
		for j := range 3 {
			s.workload("Deployment", "nova", fmt.Sprintf("marked-%d", j), 1, undone)
		}
		s.look(0)
		s.waits(waitFailures)
	})
}

func TestStep_EvictionRefused(t *testing.T) {
	several := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
	}}
	s := newSteps(t, "Deployment", 2)
	s.refuse = func(string, bool) error { return several }
	s.look(0)
	s.phase("", 0)
	s.waits(waitBudget)
	s.told("more than one PodDisruptionBudget")
	s.refuse = func(string, bool) error { return nil }
	s.look(time.Minute)
	s.phase(repairapi.Running, 1)
}

// The controller of a StatefulSet waits for its unready pod, whatever its template is.
func TestStep_UndoneStatefulSet(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*steps)
		evicted   int
	}{
		"its manager evicts the pod later": {func(*steps) {}, 2},
		"a new manager evicts the pod later": {func(s *steps) {
			s.repairer.running, s.repairer.told = map[key]*progress{}, map[key]string{}
			s.repairer.waiting, s.repairer.proven = map[key]string{}, map[string]bool{}
		}, 2},
		"not when somebody wires it again": {func(s *steps) {
			s.patch(`{"spec":{"template":{"metadata":{"labels":{"` + injection.LabelWiring + `":null}}}}}`)
		}, 1},
		"not while its controller keeps the old template": {func(s *steps) {
			s.patch(`{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":1}}}}`)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSteps(t, "StatefulSet", 2)
			s.look(0)
			stuck := s.replaced(false)
			s.look(time.Second)
			s.refuse = func(string, bool) error { return apierrors.NewTooManyRequests("the budget db needs 2 healthy pods", 0) }
			s.look(6 * time.Minute)
			s.repairer.Found("nova", nil) // its pods are wired or skipped
			s.phase(repairapi.Undone, 1)
			s.told("Pod " + stuck + " was not evicted")
			s.look(time.Minute)
			s.phase(repairapi.Undone, 1)
			c.meanwhile(s)
			s.refuse = func(string, bool) error { return nil }
			s.look(time.Minute)
			s.phase(repairapi.Undone, c.evicted)
			if c.evicted == 1 {
				return
			}
			fresh := s.replaced(false)
			s.change(fresh, func(pod *corev1.Pod) { pod.Labels[injection.LabelWiring] = injection.WiringDisabled })
			for range 3 {
				s.look(time.Minute)
				s.phase(repairapi.Undone, 2)
			}
		})
	}
}

// What is announced is what is done: a pod in another state than those that are repaired stays.
func TestStep_Plan(t *testing.T) {
	s := newSteps(t, "Deployment", 3)
	for i, state := range []injection.PodState{injection.PodChanged, injection.PodStale} {
		s.change(fmt.Sprintf("feed-%d", i+1), func(pod *corev1.Pod) { pod.Labels["state"] = string(state) })
	}
	s.settings.States = []injection.PodState{injection.PodMissing}
	s.look(0)
	s.phase(repairapi.Running, 1)
	s.told("1 of 3 pods are not wired as they would be now: they are evicted one by one")
	s.replaced(true)
	s.look(time.Second)
	s.phase("", 1)
	s.told("all pods are ready, and none is left to replace")
}
