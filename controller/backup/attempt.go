package backup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// attempt is the result of one pod, or the reason why it did not run.
type attempt struct {
	id       string // counts it once
	job      string
	verb     string
	finished time.Time
	result   backupapi.Result
	object   *corev1.ObjectReference // the pod, or the Job that had none
}

// waitingSuffix marks the id of a pod that has not run yet. If it runs later, its
// result is counted as another attempt.
const waitingSuffix = "/waits"

// shortUID returns the first characters of a UID: enough for the few pods of one
// StatefulSet.
func shortUID(uid types.UID) string { return string(uid[:min(8, len(uid))]) }

// stuckReasons are the waiting reasons that need a person to fix something (
// k8s.io/kubernetes, pkg/kubelet/images and pkg/kubelet/kuberuntime).
var stuckReasons = []string{"CreateContainerConfigError", "CreateContainerError", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RunContainerError"}

// attemptOf returns the attempt of a pod, or false if the pod has not ended and is
// not stuck. A deleted pod has ended, whatever its last status says. If the cluster
// ended it, the message says so, and whether another attempt is made.
func attemptOf(pod *corev1.Pod, deleted bool) (attempt, bool) {
	a, ok := endOf(pod, deleted)
	cause := disruption(pod)
	if !ok || cause == "" || a.result.Succeeded() {
		return a, ok
	}
	message := "the cluster ended the pod: " + cause
	if restarts(pod) {
		message += "; the Job starts another one, until its deadline"
	}
	if a.result.Message != "" {
		message += ": " + a.result.Message
	}
	a.result.Message = message
	return a, true
}

// disruption returns why the cluster ended a pod: an eviction, a drained or lost node,
// preemption. "" if it did not.
func disruption(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	return ""
}

// restarts reports whether the pod's Job ignores disruptions: those of restores, which
// must not run twice, do not.
func restarts(pod *corev1.Pod) bool {
	verb := pod.Labels[resources.LabelVerb]
	return verb == resources.VerbRun || verb == resources.VerbDrill
}

// endOf returns the attempt of a pod by what its containers report.
func endOf(pod *corev1.Pod, deleted bool) (attempt, bool) {
	a := attempt{
		id: shortUID(pod.UID), job: pod.Labels[batchv1.JobNameLabel], verb: pod.Labels[resources.LabelVerb],
		finished: pod.CreationTimestamp.UTC(),
		result:   backupapi.Result{Verb: pod.Labels[resources.LabelVerb], Started: pod.CreationTimestamp.UTC()},
		object:   &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	fail := func(category backupapi.Category, format string, args ...any) (attempt, bool) {
		a.result.Category, a.result.Message = category, fmt.Sprintf(format, args...)
		return a, true
	}
	main, ran := statusOf(pod.Status.ContainerStatuses, resources.Container)
	if ended := main.State.Terminated; ran && ended != nil {
		a.finished, a.result = finishedAt(pod, ended), resultOf(a.verb, ended)
		return a, true
	}
	if ended := failedInit(pod); ended != nil {
		a.finished = finishedAt(pod, ended)
		return fail(backupapi.CategoryNotStarted, "installing pg-backup: exit code %d: %s", ended.ExitCode, strings.TrimSpace(ended.Message))
	}
	if pod.Status.Phase == corev1.PodFailed {
		return fail(backupapi.CategoryKilled, "%s", strings.TrimSpace(pod.Status.Reason+" "+pod.Status.Message))
	}
	if deleted {
		a.finished = deletedAt(pod)
		if main.State.Running == nil {
			a.id += waitingSuffix
			return fail(backupapi.CategoryNotStarted, "the pod was deleted before it ran")
		}
		return fail(backupapi.CategoryKilled, "the pod was deleted while it ran and left no report")
	}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil && slices.Contains(stuckReasons, w.Reason) {
			a.id += waitingSuffix
			return fail(backupapi.CategoryNotStarted, "container %s is waiting: %s: %s", s.Name, w.Reason, w.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			a.id += waitingSuffix
			return fail(backupapi.CategoryNotStarted, "the pod cannot be scheduled: %s", c.Message)
		}
	}
	return attempt{}, false
}

// resultOf parses the termination message. If there is none, the process was killed
// or is not pg-backup, and the exit code decides the category.
func resultOf(verb string, ended *corev1.ContainerStateTerminated) backupapi.Result {
	result, err := backupapi.ParseResult([]byte(ended.Message))
	if err == nil {
		return result
	}
	result = backupapi.Result{
		Verb: verb, Started: ended.StartedAt.UTC(), Seconds: max(0, ended.FinishedAt.Sub(ended.StartedAt.Time).Seconds()),
		Category: backupapi.CategoryOf(int(ended.ExitCode)),
	}
	if result.Category == backupapi.CategorySucceeded {
		result.Category = backupapi.CategoryUnexpected // no report says what was backed up
	}
	result.Message = fmt.Sprintf("exit code %d without a report", ended.ExitCode)
	if ended.Reason != "" && ended.Reason != "Error" {
		result.Message = ended.Reason + ": " + result.Message
	}
	return result
}

func statusOf(statuses []corev1.ContainerStatus, name string) (corev1.ContainerStatus, bool) {
	for _, s := range statuses {
		if s.Name == name {
			return s, true
		}
	}
	return corev1.ContainerStatus{}, false
}

func failedInit(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	if pod.Status.Phase != corev1.PodFailed {
		return nil
	}
	for _, s := range pod.Status.InitContainerStatuses {
		if s.State.Terminated != nil && s.State.Terminated.ExitCode != 0 {
			return s.State.Terminated
		}
	}
	return nil
}

// finishedAt returns when a container ended. The kubelet reports no times for a
// container that it cannot find (ContainerStatusUnknown): then the pod's last change
// decides, or the attempt would look older than every other.
func finishedAt(pod *corev1.Pod, ended *corev1.ContainerStateTerminated) time.Time {
	if !ended.FinishedAt.IsZero() {
		return ended.FinishedAt.UTC()
	}
	last := deletedAt(pod)
	for _, c := range pod.Status.Conditions {
		if c.LastTransitionTime.After(last) {
			last = c.LastTransitionTime.UTC()
		}
	}
	return last
}

func deletedAt(pod *corev1.Pod) time.Time {
	if pod.DeletionTimestamp != nil {
		return pod.DeletionTimestamp.UTC()
	}
	return pod.CreationTimestamp.UTC()
}

// attemptOfJob returns the attempt of a Job that failed without a pod: a quota, a
// policy or a missing ServiceAccount prevented its pods from being created.
func attemptOfJob(job *batchv1.Job) (attempt, bool) {
	if job.Status.Failed > 0 || job.Status.Succeeded > 0 {
		return attempt{}, false // its pods are counted instead
	}
	for _, c := range job.Status.Conditions {
		if c.Type != batchv1.JobFailed || c.Status != corev1.ConditionTrue {
			continue
		}
		return attempt{
			id: shortUID(job.UID), job: job.Name, verb: job.Labels[resources.LabelVerb], finished: c.LastTransitionTime.UTC(),
			result: backupapi.Result{
				Verb: job.Labels[resources.LabelVerb], Started: job.CreationTimestamp.UTC(), Category: backupapi.CategoryNotStarted,
				Message: fmt.Sprintf("no pod was created: %s: %s", c.Reason, c.Message),
			},
			object: &corev1.ObjectReference{APIVersion: "batch/v1", Kind: "Job", Namespace: job.Namespace, Name: job.Name, UID: job.UID},
		}, true
	}
	return attempt{}, false
}
