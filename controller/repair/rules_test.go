package repair

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nova/novawire/api/injection"
	repairapi "github.com/nova/novawire/api/repair"
	"github.com/nova/novawire/controller/drift"
)

func TestTarget(t *testing.T) {
	two, none := int32(2), int32(0)
	deployment := func(change func(*appsv1.Deployment)) *target {
		d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &two}, Status: appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2}}
		d.Generation = 1
		change(d)
		return ofDeployment(d)
	}
	set := func(change func(*appsv1.StatefulSet)) *target {
		s := &appsv1.StatefulSet{
			Spec:   appsv1.StatefulSetSpec{Replicas: &two, UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &none}}},
			Status: appsv1.StatefulSetStatus{Replicas: 2, AvailableReplicas: 2, CurrentRevision: "a", UpdateRevision: "a"},
		}
		change(s)
		return ofStatefulSet(s)
	}
	daemons := func(change func(*appsv1.DaemonSet)) *target {
		d := &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2}}
		change(d)
		return ofDaemonSet(d)
	}
	for name, c := range map[string]struct {
		got     *target
		settled bool
		unable  string
	}{
		"a Deployment at rest":                          {deployment(func(*appsv1.Deployment) {}), true, ""},
		"a Deployment whose controller is behind":       {deployment(func(d *appsv1.Deployment) { d.Generation = 2 }), false, ""},
		"a Deployment in the middle of a roll-out":      {deployment(func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 1 }), false, ""},
		"a Deployment with pods of before":              {deployment(func(d *appsv1.Deployment) { d.Status.Replicas = 3 }), false, ""},
		"a Deployment with a pod that is not available": {deployment(func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 1 }), false, ""},
		"a Deployment that is paused":                   {deployment(func(d *appsv1.Deployment) { d.Spec.Paused = true }), true, "paused"},
		"a StatefulSet at rest":                         {set(func(*appsv1.StatefulSet) {}), true, ""},
		"a StatefulSet in the middle of a roll-out":     {set(func(s *appsv1.StatefulSet) { s.Status.UpdateRevision = "b" }), false, ""},
		"a StatefulSet with a pod that is not ready":    {set(func(s *appsv1.StatefulSet) { s.Status.AvailableReplicas = 1 }), false, ""},
		"a StatefulSet with a partition":                {set(func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = &two }), true, "partition"},
		"a StatefulSet whose pods somebody deletes":     {set(func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType }), true, "OnDelete"},
		"a DaemonSet at rest":                           {daemons(func(*appsv1.DaemonSet) {}), true, ""},
		"a DaemonSet in the middle of a roll-out":       {daemons(func(d *appsv1.DaemonSet) { d.Status.UpdatedNumberScheduled = 1 }), false, ""},
		"a DaemonSet whose pods somebody deletes":       {daemons(func(d *appsv1.DaemonSet) { d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType }), true, "OnDelete"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.got.settled != c.settled || (c.unable == "") != (c.got.unable == "") || !strings.Contains(c.got.unable, c.unable) {
				t.Errorf("settled %t, unable %q", c.got.settled, c.got.unable)
			}
		})
	}
}

func TestNotBetter(t *testing.T) {
	now := time.Date(2026, 11, 27, 1, 0, 0, 0, time.UTC)
	pod := func(ready bool, state injection.PodState, restarts int32) podOf {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "feed-1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		if restarts > 0 {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
		}
		return podOf{p, drift.State{PodState: state}, ready}
	}
	for name, c := range map[string]struct {
		created []podOf
		others  int
		ago     time.Duration // of the last progress
		want    string
		unwired bool
	}{
		"all is well":                             {[]podOf{pod(true, injection.PodWired, 0)}, 1, time.Hour, "", false},
		"a new pod has time to become ready":      {[]podOf{pod(false, injection.PodWired, 0)}, 1, time.Minute, "", false},
		"it was not ready in time":                {[]podOf{pod(false, injection.PodWired, 0)}, 1, 5 * time.Minute, "the new pod feed-1 is not ready: it is running", false},
		"it was not ready in time, and not wired": {[]podOf{pod(false, injection.PodMissing, 0)}, 1, 5 * time.Minute, "the new pod feed-1 is not ready: it is running", true},
		"a crash is not a crash loop":             {[]podOf{pod(false, injection.PodWired, 2)}, 1, time.Minute, "", false},
		"a crash loop is not waited for":          {[]podOf{pod(false, injection.PodWired, 3)}, 1, time.Minute, "container app of the new pod feed-1 crashes", false},
		"no pod was created":                      {nil, 1, 5 * time.Minute, "no new pod was created", false},
		"an old pod is not well":                  {[]podOf{pod(true, injection.PodWired, 0)}, 2, time.Hour, "", false},
		"one more is ready: it goes on":           {[]podOf{pod(true, injection.PodWired, 0), pod(true, injection.PodWired, 0), pod(false, injection.PodWired, 0)}, 0, time.Hour, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Repairer{now: func() time.Time { return now }}
			l := &look{target: &target{desired: 2}, config: repairapi.Default(), pods: append(c.created, make([]podOf, c.others)...)}
			p := &progress{at: now.Add(-c.ago), ready: 1, unready: map[types.UID]time.Time{"": now.Add(-c.ago)}}
			if got, unwired := r.notBetter(l, p, c.created); got != c.want || unwired != c.unwired {
				t.Errorf("%q, %t", got, unwired)
			}
		})
	}
}

// The StatefulSet controller puts the claim in the place of a volume of the template.
func TestPodFrom_ClaimInPlaceOfVolume(t *testing.T) {
	set := &appsv1.StatefulSet{}
	set.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "data"}, {Name: "cache"}}
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	pod := podFrom(ofStatefulSet(set), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db-0"}})
	if v := pod.Spec.Volumes; len(v) != 2 || v[0].Name != "cache" || v[1].PersistentVolumeClaim == nil || v[1].PersistentVolumeClaim.ClaimName != "data-db-0" {
		t.Errorf("volumes %+v", v)
	}
}
