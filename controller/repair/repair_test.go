package repair

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
)

const (
	wired   = string(injection.PodWired)
	missing = injection.PodMissing
	stale   = injection.PodStale
)

func TestRepair_Evicts(t *testing.T) {
	e := newEnvironment(t, repairapi.Evict)
	ns := e.namespace()
	feed := e.workload("Deployment", ns, "feed", wired, missing, missing, stale)
	db := e.workload("StatefulSet", ns, "db", wired, missing, missing)
	agent := e.workload("DaemonSet", ns, "agent", wired, missing)
	e.become(ns, "feed", wired, wired, wired)
	e.become(ns, "db", wired, wired)
	e.become(ns, "agent", wired)
	for _, k := range []key{feed, db, agent} {
		e.status(k, "")
		if template := e.target(k).template; len(template.Labels) != 2 || template.Annotations != nil {
			t.Errorf("%s: the pod template was changed: %+v", k, template.ObjectMeta)
		}
	}
	e.eventually("all end well", func() bool { return e.counted(repairapi.Evict, resultRepaired) == 3 }, func() any { return "" })
	for path, want := range map[string]int{
		"PATCH /apis/apps/v1/namespaces/" + ns + "/deployments/feed": 2, "PATCH /apis/apps/v1/namespaces/" + ns + "/daemonsets/agent": 2,
		"POST /api/v1/namespaces/" + ns + "/pods/feed-0/eviction": 2, // a dry run before
	} {
		if got := len(e.writes.About(path)); got != want {
			t.Errorf("%d times %s, want %d", got, path, want)
		}
	}
	e.workloads.set(func(w *workloads) {
		if w.fewest["feed"] < 2 || w.fewest["db"] < 1 {
			t.Errorf("pods were evicted before the ones before were replaced: %v", w.fewest)
		}
	})
	if got := e.counted(repairapi.Evict, resultEvicted); got != 6 {
		t.Errorf("%v evictions of 6 pods", got)
	}
	e.event(ns, "RepairStarted", "3 of 3 pods are not wired as they would be now: they are evicted one by one")
	e.event(ns, "Repaired", "all pods are ready")
}

func TestRepair_Restarts(t *testing.T) {
	e := newEnvironment(t, repairapi.Restart)
	ns := e.namespace()
	for _, kind := range kinds {
		e.workload(kind, ns, strings.ToLower(kind), wired, stale)
	}
	for _, kind := range kinds {
		app := strings.ToLower(kind)
		e.become(ns, app, wired)
		e.status(key{kind, ns, app}, "")
		if template := e.target(key{kind, ns, app}).template; template.Annotations[annotationRestartedAt] == "" || len(template.Labels) != 2 {
			t.Errorf("%s: template %+v", kind, template.ObjectMeta)
		}
	}
	e.eventually("all end well", func() bool { return e.counted(repairapi.Restart, resultRepaired) == 3 }, func() any { return "" })
	if got := e.counted(repairapi.Restart, resultRestarted); got != 3 {
		t.Errorf("%v restarts of 3 workloads", got)
	}
}

// Nothing happens to what nobody asked for, and to what has no template that could opt out.
func TestRepair_LeavesAlone(t *testing.T) {
	e := newEnvironment(t, repairapi.None)
	ns := e.namespace()
	none := e.workload("Deployment", ns, "none", wired, missing)
	asked := e.workload("Deployment", ns, "asked", wired, missing)
	changed := e.workload("Deployment", ns, "changed", wired, injection.PodChanged)
	typo := e.workload("Deployment", ns, "typo", wired, missing)
	evicting := `{"metadata":{"annotations":{"inject.nova.dev/repair":"evict"}}}`
	var bare []*corev1.Pod
	for i, owner := range []metav1.OwnerReference{
		{},
		{APIVersion: "batch/v1", Kind: "Job", Name: "report"},
		{APIVersion: "v1", Kind: "Node", Name: "node-1"},
		{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "alone"},
		{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "canary"},
	} {
		pod := ownedPod(ns, "bare", "Deployment", fmt.Sprintf("bare-%d", i))
		pod.Labels["state"], pod.OwnerReferences = string(missing), nil
		delete(pod.Labels, "pod-template-hash")
		if owner.Kind != "" {
			controls := true
			owner.UID, owner.Controller = "uid-of-nobody", &controls
			pod.OwnerReferences = []metav1.OwnerReference{owner}
		}
		e.create(pod)
		bare = append(bare, pod)
	}
	e.patch(e.read(none), `{"metadata":{"annotations":{"inject.nova.dev/repair":"none"}}}`)
	e.patch(e.read(typo), `{"metadata":{"annotations":{"inject.nova.dev/repair":"evcit"}}}`)
	e.event(ns, "RepairWaits", `"evcit" on the workload is not allowed: use none, evict or restart`)
	e.patch(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, evicting)
	e.become(ns, "asked", wired) // by the annotation of the Namespace
	e.status(asked, "")
	for _, k := range []key{none, changed, typo} {
		if written := e.writes.About("/" + k.name); len(written) > 0 {
			t.Errorf("%s: %v", k, written)
		}
	}
	for _, pod := range bare {
		if err := e.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Errorf("pod of %v: %v", pod.OwnerReferences, err)
		}
	}
	if got := e.counted(repairapi.Evict, resultEvicted); got != 1 {
		t.Errorf("%v evictions", got)
	}
}

func TestRepair_Waits(t *testing.T) {
	t.Run("while the probe fails", func(t *testing.T) {
		e := newEnvironment(t, repairapi.Evict)
		e.admission.Store(false)
		ns := e.namespace()
		e.workload("Deployment", ns, "feed", wired, missing)
		e.waits(waitProbe, 1)
		e.become(ns, "feed", string(missing))
		e.admission.Store(true)
		e.become(ns, "feed", wired)
		e.waits(waitProbe, 0)
	})
	t.Run("outside of the windows", func(t *testing.T) {
		past := time.Now().UTC().Add(-2 * time.Hour)
		e := newEnvironment(t, repairapi.Evict, func(c *repairapi.Config) {
			c.Windows = []repairapi.Window{{Schedule: fmt.Sprintf("0 %d * * *", past.Hour()), Duration: repairapi.Duration(time.Minute)}}
		})
		ns := e.namespace()
		e.workload("Deployment", ns, "feed", wired, missing)
		e.waits(waitWindow, 1)
		e.become(ns, "feed", string(missing))
	})
	t.Run("if the dry run of its pod is not wired", func(t *testing.T) {
		e := newEnvironment(t, repairapi.Evict)
		ns := e.namespace()
		k := e.workload("Deployment", ns, "feed", string(missing), missing)
		e.event(ns, "RepairWaits", "not repaired: the dry run of its pod is not wired, missing: by its label")
		e.waits(waitUnproven, 1)
		e.become(ns, "feed", string(missing))
		e.status(k, "")
	})
	t.Run("while a PodDisruptionBudget holds the pods, and says so", func(t *testing.T) {
		e := newEnvironment(t, repairapi.Evict)
		ns := e.namespace()
		all := intstr.FromInt32(2)
		budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "feed"}, Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &all, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "feed"}},
		}}
		e.create(budget)
		budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, ExpectedPods: 2, CurrentHealthy: 2, DesiredHealthy: 2}
		if err := e.client.Status().Update(t.Context(), budget); err != nil {
			t.Fatal(err)
		}
		k := e.workload("Deployment", ns, "feed", wired, missing, missing)
		e.event(ns, "RepairWaits", "a PodDisruptionBudget holds the pod: The disruption budget feed needs 2 healthy pods and has 2 currently")
		e.waits(waitBudget, 1)
		e.become(ns, "feed", string(missing), string(missing))
		e.status(k, "")
	})
	t.Run("where more than one PodDisruptionBudget is for a pod, and says so", func(t *testing.T) {
		e := newEnvironment(t, repairapi.Evict)
		ns := e.namespace()
		for _, name := range []string{"one", "two"} {
			e.create(&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: policyv1.PodDisruptionBudgetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "feed"}},
			}})
		}
		e.workload("Deployment", ns, "feed", wired, missing)
		e.event(ns, "RepairWaits", "the API server refuses the eviction: This pod has more than one PodDisruptionBudget")
		e.waits(waitBudget, 1)
		e.become(ns, "feed", string(missing))
	})
	t.Run("if a repair could not be undone", func(t *testing.T) {
		e := newEnvironment(t, repairapi.Evict)
		ns := e.namespace()
		k := e.workload("Deployment", ns, "feed", string(missing), missing)
		e.patch(e.read(k), `{"spec":{"paused":true}}`)
		e.patch(e.read(k), `{"spec":{"template":{"metadata":{"labels":{"state":"wired"}}}}}`)
		e.event(ns, "RepairWaits", "its roll-outs are paused")
	})
}

// A sidecar that never starts costs one pod of one workload at a time, and is never tried again.
func TestRepair_Undone(t *testing.T) {
	e := newEnvironment(t, repairapi.Evict)
	ns := e.namespace()
	var all []key
	for i := range maxFailures + 2 {
		app := fmt.Sprintf("feed-%d", i)
		e.workloads.set(func(w *workloads) { w.broken[app] = true })
		all = append(all, e.workload([]string{"Deployment", "StatefulSet"}[i%2], ns, app, wired, missing, missing))
	}
	var undone []key
	t.Run("the workload opts out, is marked, and runs as before", func(t *testing.T) {
		e.waits(waitFailures, 2)
		for _, k := range all {
			if repairapi.ReadStatus(e.read(k).GetAnnotations()).Phase == repairapi.Undone {
				undone = append(undone, k)
				e.become(ns, k.name, "skipped", "skipped")
			}
		}
		if len(undone) != maxFailures || e.counted(repairapi.Evict, resultUndone) != maxFailures {
			t.Errorf("undone: %v", undone)
		}
		e.event(ns, "RepairUndone", "is not ready: container novawire-sidecar: ImagePullBackOff; its pods start without wiring from now on; it is left alone. To try again: kubectl -n "+ns+" patch")
		e.event(ns, "RepairWaits", "3 or more workloads were not ready with configuration "+e.hash+": nothing is repaired with it any more")
	})
	t.Run("it cost one pod of each, and the next began after the end of the one before", func(t *testing.T) {
		if got := e.counted(repairapi.Evict, resultEvicted); got != maxFailures {
			t.Errorf("%v evictions", got)
		}
	})
	t.Run("a manager that starts later leaves it alone", func(t *testing.T) {
		e.stop()
		evicted := e.counted(repairapi.Evict, resultEvicted)
		e.metrics.Reset()
		e.start()
		e.waits(waitFailures, 2)
		if got := e.counted(repairapi.Evict, resultEvicted); got != evicted {
			t.Errorf("%v evictions, %v before", got, evicted)
		}
	})
	t.Run("a changed configuration is tried with the others", func(t *testing.T) {
		e.stop()
		e.hash += "-mended"
		e.workloads.set(func(w *workloads) { clear(w.broken) })
		e.start()
		for _, k := range all {
			if !slices.Contains(undone, k) {
				e.become(ns, k.name, wired, wired)
			}
		}
		for _, k := range undone {
			e.status(k, repairapi.Undone)
		}
	})
	t.Run("removing the mark and the label, by the command of the Event, tries again", func(t *testing.T) {
		l := &look{key: undone[0]}
		_, patch, _ := strings.Cut(l.again(true), "-p '")
		e.patch(e.read(undone[0]), strings.TrimSuffix(patch, "'"))
		e.become(ns, undone[0].name, wired, wired)
	})
}

// The mark on the workload survives the manager.
func TestRepair_AnotherManagerContinues(t *testing.T) {
	e := newEnvironment(t, repairapi.Evict, func(c *repairapi.Config) { c.ReadyWithin = repairapi.Duration(time.Hour) })
	ns := e.namespace()
	e.workloads.set(func(w *workloads) { w.broken["feed"] = true })
	k := e.workload("Deployment", ns, "feed", wired, missing, missing)
	e.status(k, repairapi.Running)
	e.become(ns, "feed", string(missing), wired)
	e.stop()
	e.settings.ReadyWithin = repairapi.Duration(2 * time.Second)
	e.start()
	e.status(k, repairapi.Undone)
	e.become(ns, "feed", "skipped", "skipped")
	if got := e.counted(repairapi.Evict, resultEvicted); got != 1 {
		t.Errorf("%v evictions", got)
	}
}

func TestRepair_NewPodsAreNotWired(t *testing.T) {
	e := newEnvironment(t, repairapi.Evict)
	ns := e.namespace()
	e.workloads.set(func(w *workloads) { w.becomes = string(missing) })
	k := e.workload("Deployment", ns, "feed", wired, missing, missing)
	o := e.status(k, repairapi.Stopped)
	e.event(ns, "RepairStopped", "although the dry run was wired; it is left alone")
	if d := o.(*appsv1.Deployment); d.Spec.Template.Labels[injection.LabelWiring] != "" {
		t.Error("it opted out, although it was not wired")
	}
	if got := e.counted(repairapi.Evict, resultEvicted); got != maxUnhelpful {
		t.Errorf("%v evictions", got)
	}
}

func TestRepair_SomebodyChangesTheWorkload(t *testing.T) {
	e := newEnvironment(t, repairapi.Evict, func(c *repairapi.Config) { c.ReadyWithin = repairapi.Duration(time.Hour) })
	ns := e.namespace()
	e.workloads.set(func(w *workloads) { w.broken["feed"] = true })
	k := e.workload("Deployment", ns, "feed", wired, missing, missing)
	e.status(k, repairapi.Running)
	e.patch(e.read(k), `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"app:2"}]}}}}`)
	e.event(ns, "RepairAbandoned", "somebody changed the pod template while the workload was repaired")
	e.status(k, "")
}

// The rights of the component are those of dry runs and of metadata.
func TestRights(t *testing.T) {
	e := newEnvironment(t, repairapi.None)
	ns := e.namespace()
	k := e.workload("Deployment", ns, "feed", wired)
	as, err := client.New(e.config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, attempt func() error, want string) {
		t.Helper()
		var err error
		e.eventually(what+" is refused", func() bool { err = attempt(); return err != nil && strings.Contains(err.Error(), want) }, func() any { return err })
	}
	pod := func() *corev1.Pod { p := ownedPod(ns, "x", "StatefulSet", ""); p.OwnerReferences = nil; return p }
	refused("a pod", func() error { return as.Create(t.Context(), pod()) }, "the manager creates pods as dry runs only")
	if err := as.Create(t.Context(), pod(), client.DryRunAll); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	const specOnly = "the manager changes nothing in the spec but the metadata of the pod template"
	for what, spec := range map[string]string{
		"another image": `{"template":{"spec":{"containers":[{"name":"app","image":"evil"}]}}}`,
		"another scale": `{"replicas":7}`,
		"a pause":       `{"paused":true}`,
		"a strategy":    `{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}`,
		"a field less":  `{"revisionHistoryLimit":null,"progressDeadlineSeconds":7}`,
	} {
		refused(what, func() error {
			return as.Patch(t.Context(), e.read(k), client.RawPatch("application/strategic-merge-patch+json", []byte(`{"spec":`+spec+`}`)))
		}, specOnly)
	}
	for _, kind := range kinds {
		o := e.read(e.workload(kind, ns, "opts-out-"+strings.ToLower(kind), wired))
		if err := as.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"template":{"metadata":{"labels":{"nova.dev/wiring":"disabled"}}}}}`))); err != nil {
			t.Errorf("the opt-out of a %s: %v", kind, err)
		}
	}
	refused("a Job", func() error { return as.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "x"}, &batchv1.Job{}) }, "forbidden")
	if err := e.client.Create(t.Context(), pod()); err != nil {
		t.Errorf("a pod of somebody else: %v", err)
	}
}
