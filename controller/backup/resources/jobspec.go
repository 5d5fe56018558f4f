package resources

import (
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/api/injection"
)

// Target is a source with all that decides about the objects of its backup.
type Target struct {
	Source  backupapi.Source
	UID     types.UID // of the source; "" in a preview
	Server  Server
	Request backupapi.Request
	Status  backupapi.Status // the results of earlier runs
	// ServiceAccountAnnotations are those of the namespace.
	ServiceAccountAnnotations map[string]string
}

// Directories in the pods.
const (
	toolsDirectory   = "/novawire"
	scratchDirectory = "/scratch"
	awsDirectory     = "/var/aws"
	ageDirectory     = "/var/age"
	copyDirectory    = "/var/aws-copy"
	signingDirectory = "/var/signing"
	verifyDirectory  = "/var/verify"
)

// runAsUser is the user of the Jobs: an unprivileged one, the same as in our images.
const runAsUser = int64(65532)

// reportSeconds is the time that a run has after its own deadline to write its report,
// before the Job's deadline ends it.
const reportSeconds = 300

// jobSpec returns a Job that runs a verb.
func (c Config) jobSpec(t Target, verb string) batchv1.JobSpec {
	backoff, deadline := int32(2), int64(t.Request.Deadline.Seconds())+reportSeconds
	return batchv1.JobSpec{
		BackoffLimit:          &backoff,
		ActiveDeadlineSeconds: &deadline,
		PodFailurePolicy:      failurePolicy(),
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: c.podLabels(t.Source, verb), Annotations: c.podAnnotations(t.Source)},
			Spec:       c.podSpec(t, verb),
		},
	}
}

// failurePolicy retries only the exit codes of pg-backup where another attempt can
// help. A disruption, such as a drained node, does not count as a failure.
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

// finalCodes returns the exit codes after which another attempt would fail in the same way.
func finalCodes() (codes []int32) {
	final := []backupapi.Category{backupapi.CategoryUsage, backupapi.CategoryVerify, backupapi.CategoryRefused, backupapi.CategoryCopy, backupapi.CategoryPermission, backupapi.CategoryDeadline}
	for _, exit := range backupapi.Exits() {
		if slices.Contains(final, exit.Category) {
			codes = append(codes, int32(exit.Code)) //nolint:gosec // a byte
		}
	}
	slices.Sort(codes) // the API server requires this order
	return codes
}

// podLabels returns the configured labels and, over them, those of [PodLabels].
func (c Config) podLabels(s backupapi.Source, verb string) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, c.Pod.Labels)
	maps.Copy(labels, PodLabels(s, verb))
	return labels
}

// podAnnotations returns the annotations that keep a node from being removed and, over
// them, the configured ones and that of the source.
func (c Config) podAnnotations(s backupapi.Source) map[string]string {
	annotations := doNotDisrupt()
	maps.Copy(annotations, c.Pod.Annotations)
	maps.Copy(annotations, sourceAnnotations(s))
	return annotations
}

// PodLabels returns the labels of a pod. It is not wired: it needs no collector, and its
// logs are JSON.
func PodLabels(s backupapi.Source, verb string) map[string]string {
	labels := SourceLabels(s)
	labels[LabelManagedBy], labels[LabelVerb] = ManagedBy, verb
	labels[injection.LabelWiring], labels[injection.LabelLogging] = injection.WiringDisabled, injection.LoggingStructured
	return labels
}
