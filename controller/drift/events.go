package drift

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nova/novawire/api/injection"
	"github.com/nova/novawire/internal/kubernetes"
	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/internal/workload"
)

// reportKey identifies an Event: there is one for each owner and state.
type reportKey struct {
	owner types.UID
	state injection.PodState
}

// report is what one Event says.
type report struct {
	regarding *corev1.ObjectReference
	workload  workload.Owner
	pod       string // the first of them, by name
	pods      int
	state     State
}

type reports map[reportKey]*report

// add adds a pod to the report about its owner, or to one about itself if it has none. A pod
// that was skipped is reported only if it has no owner: admission has told the owner.
func (r reports) add(pod *corev1.Pod, state State) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if !state.Drifted() && (owner != nil || !state.Act) {
		return
	}
	regarding := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
	if owner != nil {
		regarding = &corev1.ObjectReference{APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: pod.Namespace, Name: owner.Name, UID: owner.UID}
	}
	key := reportKey{regarding.UID, state.PodState}
	if r[key] == nil {
		r[key] = &report{regarding: regarding, workload: kubernetes.OwnerOf(&pod.ObjectMeta), pod: pod.Name, state: state}
	}
	r[key].pod = min(r[key].pod, pod.Name)
	r[key].pods++
}

// owners returns the workloads that have missing or stale pods.
func (r reports) owners() (owners []workload.Owner) {
	for key, report := range r {
		if (key.state == injection.PodMissing || key.state == injection.PodStale) && !slices.Contains(owners, report.workload) {
			owners = append(owners, report.workload)
		}
	}
	return owners
}

// record records the Events that were not recorded before, and returns all that are true now.
func (r *reconciler) record(found reports, before map[reportKey]bool) map[reportKey]bool {
	now := map[reportKey]bool{}
	for key, report := range found {
		now[key] = true
		if !before[key] {
			eventType := corev1.EventTypeNormal
			if report.state.Act {
				eventType = corev1.EventTypeWarning
			}
			r.events.Eventf(report.regarding, nil, eventType, report.state.Reason, "Compare", "%s", report.message())
		}
	}
	return now
}

func (r *report) message() string {
	text := r.state.Message + " (pod " + r.pod
	if r.pods > 1 {
		text += fmt.Sprintf(" and %d more", r.pods-1)
	}
	text += ")"
	if r.state.Drifted() {
		text += "; " + r.remedy()
	}
	return validate.EventNote(text)
}

// remedy names the command that creates the pods again, which wires them.
func (r *report) remedy() string {
	switch r.workload.Kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		return fmt.Sprintf("to wire new pods: kubectl -n %s rollout restart %s/%s", r.regarding.Namespace, strings.ToLower(r.workload.Kind), r.workload.Name)
	case "Pod":
		return "to wire it, delete and create it again"
	case "Job", "CronJob":
		return "the pods of the next Job will be wired"
	}
	return fmt.Sprintf("to wire new pods, restart %s %s", r.workload.Kind, r.workload.Name)
}
