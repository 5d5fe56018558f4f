package repair

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
)

// workloads stands in for the controllers of workloads, admission and kubelets: it keeps the
// pods of each workload at their number and at its template, and its status true.
type workloads struct {
	*testing.T
	client client.Client

	mu         sync.Mutex
	namespaces map[string]bool
	becomes    string          // state of a new pod; "" for that of its template
	broken     map[string]bool // apps whose wired pods never become ready
	fewest     map[string]int  // ready pods of an app, at their fewest
	made       int
}

func standIn(t *testing.T, c client.Client) *workloads {
	w := &workloads{T: t, client: c, namespaces: map[string]bool{}, broken: map[string]bool{}, fewest: map[string]int{}}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			w.converge(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return w
}

func (w *workloads) serve(ns string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.namespaces[ns] = true
}

func (w *workloads) set(change func(*workloads)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// remove deletes the workloads and pods of a namespace.
func (w *workloads) remove(ns string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.namespaces, ns)
	for _, o := range []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &corev1.Pod{}} {
		if err := w.client.DeleteAllOf(context.Background(), o, client.InNamespace(ns), client.GracePeriodSeconds(0)); err != nil {
			w.Error(err)
		}
	}
}

// converge brings the workloads of all namespaces one step on.
func (w *workloads) converge(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ns := range w.namespaces {
		var deployments appsv1.DeploymentList
		var sets appsv1.StatefulSetList
		var daemons appsv1.DaemonSetList
		for _, list := range []client.ObjectList{&deployments, &sets, &daemons} {
			if err := w.client.List(ctx, list, client.InNamespace(ns)); err != nil {
				return // the test ends
			}
		}
		for i := range deployments.Items {
			d := &deployments.Items[i]
			n := w.pods(ctx, d, "Deployment", &d.Spec.Template, int(*d.Spec.Replicas))
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n.all, UpdatedReplicas: n.updated, ReadyReplicas: n.ready, AvailableReplicas: n.ready}
			w.update(ctx, d)
		}
		for i := range sets.Items {
			s := &sets.Items[i]
			n := w.pods(ctx, s, "StatefulSet", &s.Spec.Template, int(*s.Spec.Replicas))
			s.Status = appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: n.all, AvailableReplicas: n.ready, ReadyReplicas: n.ready, CurrentRevision: "old", UpdateRevision: "new"}
			if n.updated == n.all {
				s.Status.CurrentRevision = "new"
			}
			w.update(ctx, s)
		}
		for i := range daemons.Items {
			d := &daemons.Items[i]
			n := w.pods(ctx, d, "DaemonSet", &d.Spec.Template, 1)
			d.Status = appsv1.DaemonSetStatus{ObservedGeneration: d.Generation, DesiredNumberScheduled: 1, UpdatedNumberScheduled: n.updated, NumberAvailable: n.ready, NumberReady: n.ready}
			w.update(ctx, d)
		}
	}
}

func (w *workloads) update(ctx context.Context, o client.Object) {
	_ = w.client.Status().Update(ctx, o) // a conflict is tried again with the next step
}

type numbers struct{ all, updated, ready int32 }

// pods creates, replaces and readies the pods of one workload.
func (w *workloads) pods(ctx context.Context, o client.Object, kind string, template *corev1.PodTemplateSpec, desired int) (n numbers) {
	var list corev1.PodList
	if err := w.client.List(ctx, &list, client.InNamespace(o.GetNamespace()), client.MatchingLabels{"app": o.GetName()}); err != nil {
		return n
	}
	// Pods that the test created have no hash and count as updated.
	hash, _ := hashOf(template)
	replaced := false
	for i := range list.Items {
		pod := &list.Items[i]
		n.all++
		current := pod.Annotations["template"] == hash || pod.Annotations["template"] == "" && template.Annotations[annotationRestartedAt] == "" && template.Labels[injection.LabelWiring] == ""
		if !current && !replaced {
			replaced = true // one at a time
			_ = w.client.Delete(ctx, pod, client.GracePeriodSeconds(0))
			continue
		}
		if current {
			n.updated++
		}
		if w.readies(ctx, pod) {
			n.ready++
		}
	}
	if len(list.Items) >= desired && !replaced {
		if fewest, ok := w.fewest[o.GetName()]; !ok || int(n.ready) < fewest {
			w.fewest[o.GetName()] = int(n.ready)
		}
	} else if _, ok := w.fewest[o.GetName()]; ok {
		w.fewest[o.GetName()] = min(w.fewest[o.GetName()], int(n.ready))
	}
	for range desired - len(list.Items) {
		w.createPod(ctx, o, kind, template, hash)
	}
	return n
}

// readies makes a pod run, and reports whether it is ready.
func (w *workloads) readies(ctx context.Context, pod *corev1.Pod) bool {
	if isReady(pod) {
		return true
	}
	wired := pod.Labels["state"] == string(injection.PodWired)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	if wired && w.broken[pod.Labels["app"]] {
		pod.Status.Conditions[0].Status, pod.Status.Phase = corev1.ConditionFalse, corev1.PodPending
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "novawire-sidecar", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
	}
	_ = w.client.Status().Update(ctx, pod)
	return false // with the next step
}

func (w *workloads) createPod(ctx context.Context, o client.Object, kind string, template *corev1.PodTemplateSpec, hash string) {
	w.made++
	pod := ownedPod(o.GetNamespace(), o.GetName(), kind, fmt.Sprintf("%s-made-%d", o.GetName(), w.made))
	pod.Labels["state"] = template.Labels["state"]
	if w.becomes != "" {
		pod.Labels["state"] = w.becomes
	}
	if template.Labels[injection.LabelWiring] == injection.WiringDisabled {
		pod.Labels["state"] = string(injection.PodSkipped)
	}
	pod.Annotations = map[string]string{"template": hash}
	_ = w.client.Create(ctx, pod)
}

// ownedPod returns a pod of a workload.
func ownedPod(ns, app, kind, name string) *corev1.Pod {
	controls := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, GenerateName: app + "-", Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: kind, Name: app, UID: types.UID("uid-" + app), Controller: &controls, BlockOwnerDeletion: &controls}
	if kind == "Deployment" {
		owner.Kind, owner.Name = "ReplicaSet", app+"-7d9c"
		pod.Labels["pod-template-hash"] = "7d9c"
	}
	pod.OwnerReferences = []metav1.OwnerReference{owner}
	return pod
}

// workload creates a workload whose pods exist in the given states. A dry run of its pod comes
// back in the state would.
func (e *environment) workload(kind, ns, app, would string, states ...injection.PodState) key {
	e.Helper()
	for i, state := range states {
		pod := ownedPod(ns, app, kind, fmt.Sprintf("%s-%d", app, i))
		pod.Labels["state"] = string(state)
		e.create(pod)
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		if err := e.client.Status().Update(e.Context(), pod); err != nil {
			e.Fatal(err)
		}
	}
	meta := metav1.ObjectMeta{Namespace: ns, Name: app}
	n, selector := int32(len(states)), &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app, "state": would}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	switch kind {
	case "Deployment":
		e.create(&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &n, Selector: selector, Template: template}})
	case "StatefulSet":
		template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		claim := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}}
		e.create(&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &n, Selector: selector, Template: template, VolumeClaimTemplates: []corev1.PersistentVolumeClaim{claim}}})
	case "DaemonSet":
		e.create(&appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}})
	}
	return key{kind, ns, app}
}
