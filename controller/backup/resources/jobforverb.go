package resources

import (
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// finishedTTLSeconds is how long a Job of [JobForVerb] is kept after it has finished.
const finishedTTLSeconds = 3600

// JobForVerb returns a Job that runs another verb with the settings of a source's
// CronJobs; the source itself may be deleted. Only the drill's CronJob, which may
// be nil, can read encrypted backups.
func JobForVerb(backup, drill *batchv1.CronJob, verb string, args []string, token string) *batchv1.Job {
	job := JobFrom(backup, verb, token)
	job.OwnerReferences = nil // the CronJob's history limits do not apply to it
	delete(job.Annotations, instantiate)
	never, life := int32(0), int32(finishedTTLSeconds)
	job.Spec.BackoffLimit, job.Spec.TTLSecondsAfterFinished = &never, &life
	job.Spec.PodFailurePolicy = nil
	job.Labels[LabelVerb], job.Spec.Template.Labels[LabelVerb] = verb, verb
	pod := &job.Spec.Template.Spec
	container := &pod.Containers[0]
	container.Command = append([]string{toolsDirectory + "/pg-backup", verb}, args...)
	drop := []string{backupapi.EnvSigningKeyFile, backupapi.EnvDatabases, backupapi.EnvExcludeDatabases, backupapi.EnvExcludeTableData, backupapi.EnvEncryptionFile, backupapi.EnvCloudWatchNamespace, backupapi.EnvLogFormat}
	if !reachesDatabase(verb) {
		drop = append(drop, backupapi.EnvDatabaseURL, backupapi.EnvServerAddress, backupapi.EnvConnectionSecret)
		withoutConnection(pod, container)
	}
	container.Env = slices.DeleteFunc(container.Env, func(e corev1.EnvVar) bool { return slices.Contains(drop, e.Name) })
	// A person reads the log, and alarms are for scheduled runs.
	container.Env = append(container.Env,
		corev1.EnvVar{Name: backupapi.EnvLogFormat, Value: "text"},
		corev1.EnvVar{Name: backupapi.EnvCloudWatchNamespace, Value: "none"})
	pod.Volumes = slices.DeleteFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "age" || v.Name == signingVolume })
	container.VolumeMounts = slices.DeleteFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "age" || m.Name == signingVolume })
	if drill != nil && readsBackups(verb) {
		withIdentity(pod, container, drill.Spec.JobTemplate.Spec.Template.Spec)
	}
	return job
}

// withoutConnection removes what describes the database's login.
func withoutConnection(pod *corev1.PodSpec, container *corev1.Container) {
	container.EnvFrom = nil
	container.Env = slices.DeleteFunc(container.Env, func(e corev1.EnvVar) bool {
		return strings.HasPrefix(e.Name, backupapi.ServerEnvPrefix) || strings.HasPrefix(e.Name, backupapi.SecretEnvPrefix)
	})
	container.VolumeMounts = slices.DeleteFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix(m.Name, serverVolumePrefix) })
	pod.Volumes = slices.DeleteFunc(pod.Volumes, func(v corev1.Volume) bool { return strings.HasPrefix(v.Name, serverVolumePrefix) })
}

// withIdentity adds the volume and the variable with which a drill decrypts backups.
func withIdentity(pod *corev1.PodSpec, container *corev1.Container, drill corev1.PodSpec) {
	for _, v := range drill.Volumes {
		if v.Name == "age" {
			pod.Volumes = append(pod.Volumes, v)
		}
	}
	for _, m := range drill.Containers[0].VolumeMounts {
		if m.Name == "age" {
			container.VolumeMounts = append(container.VolumeMounts, m)
		}
	}
	for _, e := range drill.Containers[0].Env {
		if e.Name == backupapi.EnvIdentityFile {
			container.Env = append(container.Env, e)
		}
	}
}
