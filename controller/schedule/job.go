package schedule

import (
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nova/novawire"
)

// Target is a StatefulSet that is backed up.
type Target struct {
	StatefulSet *appsv1.StatefulSet
	Request     novawire.BackupRequest
	Status      novawire.BackupStatus // what is known of earlier runs
}

// Folders within the pods.
const (
	toolsFolder   = "/novawire"
	scratchFolder = "/scratch"
	awsFolder     = "/var/aws"
	ageFolder     = "/var/age"
)

// user runs the Jobs: nobody's, and the same as our images'.
const user = int64(65532)

// timeToReport is what a run has, after its own deadline, to tell of it before
// the Job's ends it.
const timeToReport = 300

// jobSpec runs a verb in the StatefulSet's own image.
func (c Config) jobSpec(t Target, verb string) batchv1.JobSpec {
	backoff, deadline := int32(2), int64(t.Request.Deadline.Seconds())+timeToReport
	return batchv1.JobSpec{
		BackoffLimit:          &backoff,
		ActiveDeadlineSeconds: &deadline,
		PodFailurePolicy:      failurePolicy(),
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: podLabels(t.StatefulSet.Name, verb)},
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
	final := []novawire.BackupCategory{novawire.BackupUsage, novawire.BackupVerify, novawire.BackupRefused, novawire.BackupPermission, novawire.BackupDeadline}
	for _, exit := range novawire.BackupExits() {
		if slices.Contains(final, exit.Category) {
			codes = append(codes, int32(exit.Code)) //nolint:gosec // a byte
		}
	}
	slices.Sort(codes) // as the API server wants them
	return codes
}

// podLabels keep the pod as it is: it needs no collector, and its logs are JSON.
func podLabels(statefulSet, verb string) map[string]string {
	return map[string]string{
		LabelManagedBy: ManagedBy, LabelStatefulSet: statefulSet, LabelVerb: verb,
		novawire.LabelWiring: novawire.WiringDisabled, novawire.LabelLogging: novawire.LoggingStructured,
	}
}

func (c Config) podSpec(t Target, verb string) corev1.PodSpec {
	no, yes, id := false, true, user
	onlyChanged := corev1.FSGroupChangeOnRootMismatch
	return corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		ServiceAccountName:           serviceAccount(t),
		AutomountServiceAccountToken: &no, // IRSA projects a token of its own
		EnableServiceLinks:           &no,
		ImagePullSecrets:             t.StatefulSet.Spec.Template.Spec.ImagePullSecrets,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &id, RunAsGroup: &id, FSGroup: &id, FSGroupChangePolicy: &onlyChanged,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		InitContainers: []corev1.Container{{
			Name: "install", Image: c.Image, ImagePullPolicy: c.ImagePullPolicy,
			Args:            []string{"install", toolsFolder},
			Resources:       resources("10m", "32Mi", "64Mi"),
			SecurityContext: restricted(),
			VolumeMounts:    []corev1.VolumeMount{{Name: "tools", MountPath: toolsFolder}},
		}},
		Containers: []corev1.Container{c.container(t, verb)},
		Volumes:    c.volumes(t, verb),
	}
}

func serviceAccount(t Target) string {
	if t.Request.ServiceAccount != "" {
		return t.Request.ServiceAccount
	}
	return BackupName(t.StatefulSet.Name)
}

// restricted is what Pod Security's profile of that name asks of a container.
func restricted() *corev1.SecurityContext {
	no, yes := false, true
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func (c Config) container(t Target, verb string) corev1.Container {
	image := postgresContainer(t.StatefulSet)
	container := corev1.Container{
		Name: Container, Image: image.Image, ImagePullPolicy: image.ImagePullPolicy,
		Command: []string{toolsFolder + "/pg-backup", verb},
		Env:     c.environment(t, verb), Resources: c.needs(t, verb), SecurityContext: restricted(),
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		VolumeMounts:             mounts(t, verb),
	}
	if t.Request.ClientImage != "" {
		container.Image, container.ImagePullPolicy = t.Request.ClientImage, ""
	}
	return container
}

// needs are the container's resources. A drill on the node's own disk asks for
// the room that it takes, so that it lands on a node that has it and never
// drives the node to evict others.
func (c Config) needs(t Target, verb string) corev1.ResourceRequirements {
	if verb != VerbDrill {
		return *c.Resources.DeepCopy()
	}
	needs := *c.DrillResources.DeepCopy()
	if c.Scratch.StorageClass == "" && c.Scratch.Medium == corev1.StorageMediumDefault {
		if needs.Requests == nil {
			needs.Requests = corev1.ResourceList{}
		}
		needs.Requests[corev1.ResourceEphemeralStorage] = c.Scratch.size(t.Status)
	}
	return needs
}

// postgresContainer is the one that serves PostgreSQL: by its port, by its name,
// else the first.
func postgresContainer(s *appsv1.StatefulSet) corev1.Container {
	containers := s.Spec.Template.Spec.Containers
	for _, c := range containers {
		for _, port := range c.Ports {
			if port.ContainerPort == defaultPort {
				return c
			}
		}
	}
	for _, c := range containers {
		if strings.Contains(c.Name, "postgres") {
			return c
		}
	}
	if len(containers) == 0 {
		return corev1.Container{}
	}
	return containers[0]
}

const defaultPort = 5432

func (c Config) environment(t Target, verb string) []corev1.EnvVar {
	r, s := t.Request, t.StatefulSet
	var env []corev1.EnvVar
	set := func(name, value string) {
		if value != "" {
			env = append(env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	if reachesDatabase(verb) {
		env = append(env, corev1.EnvVar{Name: novawire.EnvDatabaseURL, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: r.URLSecret.Name}, Key: r.URLSecret.Key,
		}}})
	}
	if verb == VerbRun {
		set(novawire.EnvDatabases, escaped(r.Databases))
	}
	set(novawire.EnvS3Bucket, escaped(r.Place(s.Namespace, s.Name)))
	set(novawire.EnvS3Endpoint, escaped(r.S3Endpoint))
	set(novawire.EnvBackupAWSRegion, r.AWSRegion)
	set(novawire.EnvRetentionDays, strconv.Itoa(r.RetentionDays))
	set(novawire.EnvKeepMinimum, strconv.Itoa(r.KeepMinimum))
	set(novawire.EnvParallelism, strconv.Itoa(r.Parallelism))
	set(novawire.EnvDeadline, r.Deadline.String())
	set(novawire.EnvCloudWatchNamespace, c.CloudWatchNamespace)
	if r.AWSSecret != "" {
		set("AWS_SHARED_CREDENTIALS_FILE", awsFolder+"/credentials")
	}
	if verb == VerbRun && r.EncryptionRecipients.Name != "" {
		set(novawire.EnvEncryptionFile, ageFolder+"/recipients")
	}
	if readsBackups(verb) && r.EncryptionIdentity.Name != "" {
		set(novawire.EnvIdentityFile, ageFolder+"/identity")
	}
	if verb == VerbDrill {
		set(novawire.EnvScratchDirectory, scratchFolder)
	}
	if c.TelemetryEndpoint != "" {
		set("OTEL_EXPORTER_OTLP_ENDPOINT", escaped(c.TelemetryEndpoint))
		set("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name="+s.Namespace+",k8s.statefulset.name="+s.Name)
	}
	for _, name := range sortedKeys(c.Env) {
		set(name, escaped(c.Env[name]))
	}
	return env
}

// escaped keeps the kubelet from reading $(NAME) in a value.
func escaped(value string) string { return strings.ReplaceAll(value, "$(", "$$(") }

func reachesDatabase(verb string) bool { return verb == VerbRun || verb == VerbRestore }

func readsBackups(verb string) bool {
	return verb == VerbDrill || verb == VerbRestore || verb == VerbVerify
}

func mounts(t Target, verb string) []corev1.VolumeMount {
	m := []corev1.VolumeMount{{Name: "tools", MountPath: toolsFolder, ReadOnly: true}}
	if t.Request.AWSSecret != "" {
		m = append(m, corev1.VolumeMount{Name: "aws", MountPath: awsFolder, ReadOnly: true})
	}
	if _, ok := ageKey(t, verb); ok {
		m = append(m, corev1.VolumeMount{Name: "age", MountPath: ageFolder, ReadOnly: true})
	}
	if verb == VerbDrill {
		m = append(m,
			// initdb refuses a user that has no name.
			corev1.VolumeMount{Name: "tools", MountPath: "/etc/passwd", SubPath: "passwd", ReadOnly: true},
			corev1.VolumeMount{Name: "scratch", MountPath: scratchFolder})
	}
	return m
}

// ageKey is what a verb needs to encrypt or to read.
func ageKey(t Target, verb string) (corev1.SecretVolumeSource, bool) {
	secret, file := t.Request.EncryptionRecipients, "recipients"
	if readsBackups(verb) {
		secret, file = t.Request.EncryptionIdentity, "identity"
	} else if verb != VerbRun {
		secret = novawire.SecretKey{}
	}
	return corev1.SecretVolumeSource{SecretName: secret.Name, Items: []corev1.KeyToPath{{Key: secret.Key, Path: file}}}, secret.Name != ""
}

func (c Config) volumes(t Target, verb string) []corev1.Volume {
	tools := resource.MustParse("64Mi")
	v := []corev1.Volume{{Name: "tools", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &tools}}}}
	if t.Request.AWSSecret != "" {
		v = append(v, corev1.Volume{Name: "aws", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: t.Request.AWSSecret}}})
	}
	if secret, ok := ageKey(t, verb); ok {
		v = append(v, corev1.Volume{Name: "age", VolumeSource: corev1.VolumeSource{Secret: &secret}})
	}
	if verb == VerbDrill {
		v = append(v, corev1.Volume{Name: "scratch", VolumeSource: c.Scratch.source(t.Status)})
	}
	return v
}

// restoredPerDumped is how much room a restored byte of a dump takes at most:
// the rows, their indexes, and the log of writing both.
const restoredPerDumped = 3

// size has room for the largest database of the newest backup.
func (s Scratch) size(status novawire.BackupStatus) resource.Quantity {
	size := s.Minimum.DeepCopy()
	for _, d := range status.Databases {
		// In steps of a gibibyte, so that a database that grows does not
		// rewrite its CronJob every night.
		gibibytes := math.Ceil(float64(d.Bytes) * restoredPerDumped / (1 << 30))
		if room := resource.NewQuantity(int64(gibibytes)<<30, resource.BinarySI); size.Cmp(*room) < 0 {
			size = *room
		}
	}
	return size
}

func (s Scratch) source(status novawire.BackupStatus) corev1.VolumeSource {
	size := s.size(status)
	if s.StorageClass == "" {
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: s.Medium, SizeLimit: &size}}
	}
	class := s.StorageClass
	return corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}}}
}
