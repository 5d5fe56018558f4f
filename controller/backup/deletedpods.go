package backup

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nova/novawire/controller/backup/resources"
)

// deletedPods keeps the last state of deleted pods until it is counted. Deleting a
// Job deletes its pods, and their termination messages with them.
type deletedPods struct {
	mu   sync.Mutex
	pods map[types.NamespacedName][]*corev1.Pod
}

func newDeletedPods() *deletedPods {
	return &deletedPods{pods: map[types.NamespacedName][]*corev1.Pod{}}
}

// add is a predicate that always returns true.
func (d *deletedPods) add(e event.DeleteEvent) bool {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok || pod.Labels[resources.LabelStatefulSet] == "" {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[resources.LabelStatefulSet]}
	d.pods[name] = append(d.pods[name], pod)
	return true
}

func (d *deletedPods) list(name types.NamespacedName) []*corev1.Pod {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pods[name]
}

// forget drops the pods of a StatefulSet that is no longer reconciled.
func (d *deletedPods) forget(name types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pods, name)
}

// removeFirst drops the first n pods that list returned: they are counted.
func (d *deletedPods) removeFirst(name types.NamespacedName, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pods[name] = d.pods[name][n:]; len(d.pods[name]) == 0 {
		delete(d.pods, name)
	}
}
