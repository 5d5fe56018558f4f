package resources

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

const copyVolume = "aws-copy"

func usesCopy(t Target) bool {
	return t.Request.CopyLocation(t.Source) != ""
}

// copyEnvironment returns the variables of the second store. A drill does not use it.
func copyEnvironment(t Target, verb string) []corev1.EnvVar {
	if !usesCopy(t) || verb == VerbDrill {
		return nil
	}
	r := t.Request
	env := []corev1.EnvVar{
		{Name: backupapi.EnvCopyBucket, Value: escaped(r.CopyLocation(t.Source))},
		{Name: backupapi.EnvCopyEndpoint, Value: escaped(r.CopyS3Endpoint)},
		{Name: backupapi.EnvCopyRegion, Value: r.CopyAWSRegion},
	}
	if r.CopyRetentionDays > 0 {
		env = append(env, corev1.EnvVar{Name: backupapi.EnvCopyRetentionDays, Value: strconv.Itoa(r.CopyRetentionDays)})
	}
	if r.CopyAWSSecret != "" {
		env = append(env, corev1.EnvVar{Name: backupapi.EnvCopyCredentials, Value: copyDirectory + "/credentials"})
	}
	return env
}

// copySecret returns the Secret with the credentials of the second store, "" for none.
func copySecret(t Target, verb string) string {
	if !usesCopy(t) || verb == VerbDrill {
		return ""
	}
	return t.Request.CopyAWSSecret
}
