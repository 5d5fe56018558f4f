package drift

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nova/novawire/api/injection"
)

const namespaceStatus = "components/namespace-status/rbac.yaml"

func (e *environment) hasStatus(ns *corev1.Namespace, want string) {
	e.Helper()
	var got string
	e.eventually("the status annotation", func() bool { got = e.status(ns); return got == want }, func() any { return got })
}

func TestReconcile(t *testing.T) {
	e := newEnvironment(t, namespaceStatus)
	ns := e.namespace()
	t.Run("counts the pods of each state and records one Event for each owner and state", func(t *testing.T) {
		e.pod(ns.Name, "feed-1", "feed", injection.PodMissing)
		e.pod(ns.Name, "feed-2", "feed", injection.PodMissing)
		e.pod(ns.Name, "feed-3", "feed", injection.PodStale)
		e.pod(ns.Name, "chat-1", "chat", injection.PodChanged)
		e.pod(ns.Name, "chat-2", "chat", injection.PodWired)
		e.pod(ns.Name, "agent", "", injection.PodSkipped)
		e.pod(ns.Name, "node-1", "node", injection.PodSkipped) // admission has told the owner
		e.pod(ns.Name, "alone", "", injection.PodMissing)
		e.shows(ns.Name, 1, 3, 1, 1, 2)
		e.hasStatus(ns, `{"config":"first","missing":3,"stale":1,"changed":1}`)
		var got []string
		e.eventually("the Events", func() bool { got = e.events(ns.Name); return len(got) >= 5 }, func() any { return got })
		restart := "; to wire new pods: kubectl -n " + ns.Name + " rollout restart deployment/"
		if diff := cmp.Diff([]string{
			"Normal Forstale ReplicaSet/feed-7d9c: stale: for a reason (pod feed-3)" + restart + "feed",
			"Warning Forchanged ReplicaSet/chat-7d9c: changed: for a reason (pod chat-1)" + restart + "chat",
			"Warning Formissing Pod/alone: missing: for a reason (pod alone); to wire it, delete and create it again",
			"Warning Formissing ReplicaSet/feed-7d9c: missing: for a reason (pod feed-1 and 1 more)" + restart + "feed",
			"Warning Forskipped Pod/agent: skipped: for a reason (pod agent)",
		}, got); diff != "" {
			t.Errorf("Events (-want +got):\n%s", diff)
		}
	})
	t.Run("writes nothing while nothing differs from before", func(t *testing.T) {
		before, decided := e.writes.All(), e.engine.decided()
		e.pod(ns.Name, "chat-3", "chat", injection.PodWired) // a workload scales
		e.shows(ns.Name, 2, 3, 1, 1, 2)
		e.patch(ns, `{"metadata":{"labels":{"touched":"yes"}}}`)
		e.pod(ns.Name, "chat-4", "chat", injection.PodWired)
		e.shows(ns.Name, 3, 3, 1, 1, 2)
		if after := e.writes.All(); len(after) != len(before) {
			t.Errorf("written: %v", after[len(before):])
		}
		if n := e.engine.decided() - decided; n > 2 {
			t.Errorf("%d decisions about 2 new pods: the others were decided before", n)
		}
	})
	t.Run("does not count a pod that has ended", func(t *testing.T) {
		job := e.pod(ns.Name, "report-1", "report", injection.PodMissing)
		e.shows(ns.Name, 3, 4, 1, 1, 2)
		job.Status.Phase = corev1.PodSucceeded
		if err := e.client.Status().Update(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		e.shows(ns.Name, 3, 3, 1, 1, 2)
	})
	t.Run("compares again when the configuration changes", func(t *testing.T) {
		e.engine.reconfigure("second")
		e.changed <- event.GenericEvent{Object: ns}
		e.hasStatus(ns, `{"config":"second","missing":3,"stale":1,"changed":1}`)
	})
	t.Run("compares again when a pod's label or the namespace's annotation changes", func(t *testing.T) {
		e.patch(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "feed-3"}}, `{"metadata":{"labels":{"state":"changed"}}}`)
		e.shows(ns.Name, 3, 3, 0, 2, 2)
		decided := e.engine.decided()
		e.patch(ns, `{"metadata":{"annotations":{"inject.nova.dev/collector":"gateway"}}}`)
		e.eventually("all decided again", func() bool { return e.engine.decided() >= decided+10 }, func() any { return e.engine.decided() - decided })
	})
	t.Run("forgets a namespace that opts out", func(t *testing.T) {
		e.patch(ns, `{"metadata":{"labels":{"nova.dev/wiring":null}}}`)
		e.hasStatus(ns, "")
		e.eventually("no series", func() bool { return testutil.CollectAndCount(e.metrics.pods) == 0 }, func() any { return "there are some" })
	})
	t.Run("counts a namespace that opts in later", func(t *testing.T) {
		later := &corev1.Namespace{}
		later.GenerateName = "later-"
		e.create(later)
		e.pod(later.Name, "old", "", injection.PodMissing)
		e.patch(later, `{"metadata":{"labels":{"nova.dev/wiring":"enabled"}}}`)
		e.shows(later.Name, 0, 1, 0, 0, 0)
		e.hasStatus(later, `{"config":"second","missing":1}`)
	})
}

// The base grants no right to patch Namespaces.
func TestReconcile_WithoutTheRightToWriteTheStatus(t *testing.T) {
	e := newEnvironment(t)
	ns := e.namespace()
	e.pod(ns.Name, "alone", "", injection.PodMissing)
	e.shows(ns.Name, 0, 1, 0, 0, 0)
	e.pod(ns.Name, "alone-2", "", injection.PodMissing)
	e.shows(ns.Name, 0, 2, 0, 0, 0)
	if got := e.status(ns); got != "" {
		t.Errorf("status %s", got)
	}
	asked := slices.DeleteFunc(e.writes.All(), func(call string) bool { return call != "PATCH /api/v1/namespaces/"+ns.Name })
	if len(asked) > 1 {
		t.Errorf("asked %d times for what is not granted", len(asked))
	}
	var events []string
	e.eventually("an Event", func() bool { events = e.events(ns.Name); return len(events) == 2 }, func() any { return events })
}
