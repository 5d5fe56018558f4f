package resources

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// environment returns the variables of pg-backup for a verb.
func (c Config) environment(t Target, verb string) []corev1.EnvVar {
	r := t.Request
	var env []corev1.EnvVar
	set := func(name, value string) {
		if value != "" {
			env = append(env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	if reachesDatabase(verb) {
		env = append(env, connectionOf(t).env...)
	}
	if verb == VerbRun {
		set(backupapi.EnvDatabases, escaped(r.Databases))
		set(backupapi.EnvExcludeDatabases, escaped(r.ExcludeDatabases))
		set(backupapi.EnvExcludeTableData, escaped(r.ExcludeTableData))
	}
	set(backupapi.EnvS3Bucket, escaped(r.Location(t.Source)))
	set(backupapi.EnvS3Endpoint, escaped(r.S3Endpoint))
	set(backupapi.EnvAWSRegion, r.AWSRegion)
	set(backupapi.EnvRetentionDays, strconv.Itoa(r.RetentionDays))
	set(backupapi.EnvKeepMinimum, strconv.Itoa(r.KeepMinimum))
	set(backupapi.EnvParallelism, strconv.Itoa(r.Parallelism))
	set(backupapi.EnvDeadline, r.Deadline.String())
	set(backupapi.EnvCloudWatchNamespace, c.CloudWatchNamespace)
	if r.AWSSecret != "" {
		set("AWS_SHARED_CREDENTIALS_FILE", awsDirectory+"/credentials")
	}
	if verb == VerbRun && r.EncryptionRecipients.Name != "" {
		set(backupapi.EnvEncryptionFile, ageDirectory+"/recipients")
	}
	if readsBackups(verb) && r.EncryptionIdentity.Name != "" {
		set(backupapi.EnvIdentityFile, ageDirectory+"/identity")
	}
	for _, v := range copyEnvironment(t, verb) {
		set(v.Name, v.Value)
	}
	for _, key := range signatureKeys(t, verb) {
		set(key.variable, key.directory+"/"+signatureFile)
		if verb == VerbDrill && key.volume == signingVolume {
			set(backupapi.EnvRunBy, "CronJob "+t.Source.Namespace+"/"+DrillName(t.Source))
		}
	}
	if verb == VerbDrill {
		set(backupapi.EnvScratchDirectory, scratchDirectory)
	}
	if c.TelemetryEndpoint != "" {
		set("OTEL_EXPORTER_OTLP_ENDPOINT", escaped(c.TelemetryEndpoint))
		set("OTEL_RESOURCE_ATTRIBUTES", resourceAttributes(t.Source))
	}
	for _, name := range sortedKeys(c.Env) {
		set(name, escaped(c.Env[name]))
	}
	return env
}

// resourceAttributes describes the source to telemetry. OpenTelemetry has a name for
// StatefulSets only.
func resourceAttributes(s backupapi.Source) string {
	name := "backup.source"
	if s.Kind == backupapi.KindStatefulSet {
		name = "k8s.statefulset.name"
	}
	return "k8s.namespace.name=" + s.Namespace + "," + name + "=" + s.Reference()
}

// escaped keeps the kubelet from expanding $(NAME) in a value.
func escaped(value string) string { return strings.ReplaceAll(value, "$(", "$$(") }

func reachesDatabase(verb string) bool { return verb == VerbRun || verb == VerbRestore }

func readsBackups(verb string) bool {
	return verb == VerbDrill || verb == VerbRestore || verb == VerbVerify
}
