package backup

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// A container whose end has no times is newer than the success of the night before.
func TestAttemptOf_ContainerWithoutTimes(t *testing.T) {
	night := snapshot.Add(24 * time.Hour)
	unknown := &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated"}
	pod := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{UID: "0123456789", CreationTimestamp: metav1.NewTime(night), Labels: map[string]string{resources.LabelVerb: resources.VerbRun}},
			Status:     corev1.PodStatus{Phase: corev1.PodFailed},
		}
		change(p)
		return p
	}
	main := func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: resources.Container, State: corev1.ContainerState{Terminated: unknown}}}
	}
	for name, p := range map[string]*corev1.Pod{
		"the main container": pod(main),
		"the init container": pod(func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "install", State: corev1.ContainerState{Terminated: unknown}}}
		}),
		"a pod with conditions": pod(func(p *corev1.Pod) {
			main(p)
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(night.Add(time.Minute))}}
		}),
		"a container that has a start only": pod(func(p *corev1.Pod) {
			main(p)
			started := *unknown
			started.StartedAt = metav1.NewTime(night)
			p.Status.ContainerStatuses[0].State.Terminated = &started
		}),
	} {
		t.Run(name, func(t *testing.T) {
			a, ok := attemptOf(p, false)
			if !ok || a.finished.Before(night) || a.result.Succeeded() || a.result.Seconds < 0 {
				t.Fatalf("attempt %t: %+v", ok, a)
			}
			s := applyResult(applyResult(backupapi.Status{}, runOf(1, backupapi.CategorySucceeded, "nova_auth")), a)
			if s.LastRun.Category == backupapi.CategorySucceeded || s.LastFailure == nil {
				t.Errorf("the last run is %+v, the last failure %+v", s.LastRun, s.LastFailure)
			}
		})
	}
}
