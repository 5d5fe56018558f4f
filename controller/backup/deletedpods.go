package backup

import (
	"sync"

	"github.com/nova/novawire/controller/backup/resources"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// deletedPods keeps the last state of pods that were deleted, until it is counted: a
// Job that is deleted takes its pods along, and what they told with them.
type deletedPods struct {
	mu   sync.Mutex
	pods map[types.NamespacedName][]*corev1.Pod
}

func newDeletedPods() *deletedPods {
	return &deletedPods{pods: map[types.NamespacedName][]*corev1.Pod{}}
}

// add is a predicate that always holds.
func (g *deletedPods) add(e event.DeleteEvent) bool {
	pod, ok := e.Object.(*corev1.Pod)
	if !ok || pod.Labels[resources.LabelStatefulSet] == "" {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[resources.LabelStatefulSet]}
	g.pods[name] = append(g.pods[name], pod)
	return true
}

func (g *deletedPods) list(name types.NamespacedName) []*corev1.Pod {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pods[name]
}

// forget drops what nobody is told of any more.
func (g *deletedPods) forget(name types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pods, name)
}

// removeFirst forgets pods that of returned.
func (g *deletedPods) removeFirst(name types.NamespacedName, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pods[name] = g.pods[name][n:]; len(g.pods[name]) == 0 {
		delete(g.pods, name)
	}
}
