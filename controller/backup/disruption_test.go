package backup

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/controller/backup/resources"
)

// A dump that is evicted is no failed attempt of its Job, and its Event says that another
// pod is started. The API server itself evicts: only it sets the condition.
func TestReconcile_RecordsDisruptions(t *testing.T) {
	b := newEnvironment(t)
	b.statefulSet("auth-db", enabled())
	job := b.awaitCronJob("auth-db-backup", running).Spec.JobTemplate.Spec
	rules := job.PodFailurePolicy.Rules
	if rules[0].Action != batchv1.PodFailurePolicyActionIgnore || len(rules[0].OnPodConditions) != 1 || rules[0].OnPodConditions[0].Type != corev1.DisruptionTarget {
		t.Errorf("the Job counts an eviction as a failure: %+v", rules)
	}
	if limit := backupapi.DefaultRequest().Deadline.Seconds() + 300; *job.ActiveDeadlineSeconds != int64(limit) {
		t.Errorf("all attempts together may take %d s, want %v", *job.ActiveDeadlineSeconds, limit)
	}
	evicted := func(verb, name string) *corev1.Pod {
		pod := b.pod("auth-db", verb, name)
		pod.Status.Phase = corev1.PodRunning
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: resources.Container, Image: "i", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
		b.setStatus(pod)
		if err := b.client.SubResource("eviction").Create(t.Context(), pod, &policyv1.Eviction{}); err != nil {
			t.Fatal(err)
		}
		return pod
	}
	t.Run("an evicted backup is retried", func(t *testing.T) {
		evicted(resources.VerbRun, "night")
		b.awaitEvent("BackupFailed", "night: killed: the cluster ended the pod: EvictionByEvictionAPI")
		b.awaitEvent("BackupFailed", "the Job starts another one, until its deadline: the pod was deleted while it ran")
	})
	t.Run("an evicted restore is not", func(t *testing.T) {
		evicted(resources.VerbRestore, "by-hand")
		b.awaitEvent("RestoreFailed", "by-hand: killed: the cluster ended the pod: EvictionByEvictionAPI")
		for _, note := range b.notes("RestoreFailed") {
			if strings.Contains(note, "starts another") {
				t.Errorf("the Event promises another pod: %s", note)
			}
		}
	})
	t.Run("the report of an interrupted backup stays", func(t *testing.T) {
		pod := b.pod("auth-db", resources.VerbRun, "drained")
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "TerminationByKubelet", Message: "The node was low on resource: memory."}}
		b.end(pod, 143, `{"verb":"run","category":"interrupted","message":"SIGTERM"}`)
		b.awaitEvent("BackupFailed", "drained: interrupted: the cluster ended the pod: TerminationByKubelet: The node was low on resource: memory.; the Job starts another one, until its deadline: SIGTERM")
	})
	t.Run("the next pod succeeds, and the status keeps both", func(t *testing.T) {
		b.ran("auth-db", resources.VerbRun, "night-again", 0, succeeded("20261123T010000Z-aaaaaa", 10))
		b.awaitStatus("auth-db", "backed up", func(s backupapi.Status) bool {
			return backedUp(s) && s.Failures[backupapi.CategoryKilled] == 2 && s.Failures[backupapi.CategoryInterrupted] == 1
		})
	})
	t.Run("a backup that succeeded before its node was drained is a success", func(t *testing.T) {
		pod := b.pod("auth-db", resources.VerbRun, "done")
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI"}}
		b.end(pod, 0, succeeded("20261124T010000Z-bbbbbb", 11))
		b.awaitEvent("BackupSucceeded", "done: nova_auth 20261124T010000Z-bbbbbb")
	})
}
