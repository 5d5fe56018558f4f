package repair

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/controller/drift"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/workload"
)

// podOf is a pod of a workload.
type podOf struct {
	*corev1.Pod
	state drift.State
	ready bool
}

// pods reads the pods of a workload that have not ended. The API server lists them by name.
func (r *Repairer) pods(ctx context.Context, l *look) error {
	selector, err := metav1.LabelSelectorAsSelector(l.selector)
	if err != nil {
		return fmt.Errorf("read the selector: %w", err)
	}
	var list corev1.PodList
	if err := r.live.List(ctx, &list, client.InNamespace(l.namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return fmt.Errorf("list the pods: %w", err)
	}
	engine := r.Engine()
	for i := range list.Items {
		pod := &list.Items[i]
		if kubernetes.OwnerOf(&pod.ObjectMeta) != (workload.Owner{Kind: l.kind, Name: l.name}) {
			continue
		}
		if !drift.Counts(pod) {
			if pod.DeletionTimestamp != nil {
				l.ending = append(l.ending, pod)
			}
			continue
		}
		state, err := engine.State(pod, l.annotations)
		if err != nil {
			return fmt.Errorf("compare pod %s: %w", pod.Name, err)
		}
		l.pods = append(l.pods, podOf{pod, state, isReady(pod)})
	}
	return nil
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// since returns the pods that were created at a time or later.
func since(pods []podOf, t time.Time) (created []podOf) {
	for _, p := range pods {
		if !p.CreationTimestamp.Time.Before(t.Truncate(time.Second)) {
			created = append(created, p)
		}
	}
	return created
}

// toReplace returns the first pod in one of the states that are repaired.
func toReplace(pods []podOf, states []injection.PodState) (podOf, bool) {
	i := slices.IndexFunc(pods, func(p podOf) bool { return isToReplace(p, states) })
	if i < 0 {
		return podOf{}, false
	}
	return pods[i], true
}

func isToReplace(p podOf, states []injection.PodState) bool {
	return slices.Contains(states, p.state.PodState)
}

// crashes is how often a container has to restart before it counts as a crash loop: a service
// may end once because what it needs starts later.
const crashes = 3

// crashLoop returns the container of a pod that crashes again and again, or "".
func crashLoop(pod *corev1.Pod) string {
	for _, list := range [...][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range list {
			if c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff" && c.RestartCount >= crashes {
				return c.Name
			}
		}
	}
	return ""
}

// whyUnready says in a few words what keeps a pod from being ready.
func whyUnready(pod *corev1.Pod) string {
	for _, list := range [...][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range list {
			if c.State.Waiting != nil && c.State.Waiting.Reason != "" && c.State.Waiting.Reason != "PodInitializing" {
				return "container " + c.Name + ": " + c.State.Waiting.Reason
			}
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Reason != "" && c.Type != corev1.ContainersReady {
			return c.Reason
		}
	}
	return "it is " + strings.ToLower(string(pod.Status.Phase))
}
