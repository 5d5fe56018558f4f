package resources

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
)

// Target is a StatefulSet that is backed up.
type Target struct {
	StatefulSet *appsv1.StatefulSet
	Request     backupapi.Request
	Status      backupapi.Status // what is known of earlier runs
}

// Folders within the pods.
const (
	toolsFolder   = "/novawire"
	scratchFolder = "/scratch"
	awsFolder     = "/var/aws"
	ageFolder     = "/var/age"
)

// runAsUser runs the Jobs: nobody's, and the same as our images'.
const runAsUser = int64(65532)

// reportSeconds is what a run has, after its own deadline, to tell of it before
// the Job's ends it.
const reportSeconds = 300

// jobSpec runs a verb in the StatefulSet's own image.
func (c Config) jobSpec(t Target, verb string) batchv1.JobSpec {
	backoff, deadline := int32(2), int64(t.Request.Deadline.Seconds())+reportSeconds
	return batchv1.JobSpec{
		BackoffLimit:          &backoff,
		ActiveDeadlineSeconds: &deadline,
		PodFailurePolicy:      failurePolicy(),
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: PodLabels(t.StatefulSet.Name, verb)},
			Spec:       c.podSpec(t, verb),
		},
	}
}

// failurePolicy repeats what running again may help, by pg-backup's exit codes,
// and does not count a drained node as a failure.
func failurePolicy() *batchv1.PodFailurePolicy {
	container := Container
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{
			Action:          batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
		},
		{
			Action:      batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{ContainerName: &container, Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: finalCodes()},
		},
	}}
}

// finalCodes are the exit codes after which the same thing would happen again.
func finalCodes() (codes []int32) {
	final := []backupapi.Category{backupapi.CategoryUsage, backupapi.CategoryVerify, backupapi.CategoryRefused, backupapi.CategoryPermission, backupapi.CategoryDeadline}
	for _, exit := range backupapi.Exits() {
		if slices.Contains(final, exit.Category) {
			codes = append(codes, int32(exit.Code)) //nolint:gosec // a byte
		}
	}
	slices.Sort(codes) // as the API server wants them
	return codes
}

// PodLabels keep the pod as it is: it needs no collector, and its logs are JSON.
func PodLabels(statefulSet, verb string) map[string]string {
	return map[string]string{
		LabelManagedBy: ManagedBy, LabelStatefulSet: statefulSet, LabelVerb: verb,
		injection.LabelWiring: injection.WiringDisabled, injection.LabelLogging: injection.LoggingStructured,
	}
}
