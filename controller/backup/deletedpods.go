package backup

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// deletedPods keeps the last state of deleted pods until it is counted. Deleting a
// Job deletes its pods, and their termination messages with them.
type deletedPods struct {
	mu   sync.Mutex
	pods map[backupapi.Source][]*corev1.Pod
}

func newDeletedPods() *deletedPods {
	return &deletedPods{pods: map[backupapi.Source][]*corev1.Pod{}}
}

// add is a predicate that always returns true.
func (d *deletedPods) add(e event.DeleteEvent) bool {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok {
		return true
	}
	source, ok := resources.MadeFor(pod)
	if !ok {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pods[source] = append(d.pods[source], pod)
	return true
}

func (d *deletedPods) list(source backupapi.Source) []*corev1.Pod {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pods[source]
}

// forget drops the pods of a source that is no longer reconciled.
func (d *deletedPods) forget(source backupapi.Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pods, source)
}

// removeFirst drops the first n pods that list returned: they are counted.
func (d *deletedPods) removeFirst(source backupapi.Source, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pods[source] = d.pods[source][n:]; len(d.pods[source]) == 0 {
		delete(d.pods, source)
	}
}
