package novawire

import "strings"

// Object says on which objects a key has a meaning.
type Object string

// The objects that carry keys.
const (
	OnNamespace   Object = "Namespace"
	OnPod         Object = "Pod"
	OnStatefulSet Object = "StatefulSet"
)

// Key describes one label or annotation of the user's language.
// docs/annotations.md is held equal to [Keys] by a test.
type Key struct {
	Name    string
	On      Object
	Label   bool   // a label; else an annotation
	Default string // as users read it; "–" for none
	Allowed string // the values that are accepted, in a few words
	Meaning string
	Written bool // by the product, not by users
}

// Keys lists the whole language in the order of the documentation.
func Keys() []Key { return append([]Key(nil), keys...) }

const (
	quantities = "a Kubernetes quantity"
	cronRule   = "a cron expression of five fields; minute and hour may be `H` or `H(0-29)`"
)

var keys = []Key{
	{Name: LabelWiring, On: OnNamespace, Label: true, Default: "–", Allowed: "`enabled`", Meaning: "opts the namespace in"},

	{Name: LabelWiring, On: OnPod, Label: true, Default: "–", Allowed: "`disabled`", Meaning: "this pod is left alone"},
	{Name: AnnotationCollector, On: OnPod, Default: "`sidecar`", Allowed: "`sidecar`, `gateway`, `none`", Meaning: "where telemetry goes: a collector in the pod, a shared one, or nowhere"},
	{Name: AnnotationProtocol, On: OnPod, Default: "`grpc`", Allowed: "`grpc`, `http/protobuf`", Meaning: "OTLP transport; endpoint and protocol are always set together"},
	{Name: AnnotationServiceName, On: OnPod, Default: "workload name", Allowed: "1 to 255 printable characters", Meaning: "`OTEL_SERVICE_NAME`"},
	{Name: AnnotationResourceAttributes, On: OnPod, Default: "–", Allowed: "`key=value,key=value`, percent-encoded", Meaning: "merged into `OTEL_RESOURCE_ATTRIBUTES`"},
	{Name: AnnotationTraceSampling, On: OnPod, Default: "`1`", Allowed: "a ratio from `0` to `1`", Meaning: "share of new traces that is kept: `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`"},
	{Name: AnnotationContainers, On: OnPod, Default: "all app containers", Allowed: "a comma list of container names", Meaning: "the containers that get environment, even where `envFrom` hides what they set"},
	{Name: AnnotationLogs, On: OnPod, Default: "`structured`", Allowed: "`structured`, `none`", Meaning: "whether the pod is labelled `logging=structured`"},
	{Name: AnnotationMetrics, On: OnPod, Default: "`true`", Allowed: "`true`, `false`", Meaning: "whether the pod gets scrape annotations and the `nova.dev/metrics` label"},
	{Name: AnnotationMetricsPort, On: OnPod, Default: "found by port name", Allowed: "a declared port's name, or 1 to 65535", Meaning: "`prometheus.io/port`"},
	{Name: AnnotationMetricsPath, On: OnPod, Default: "`/metrics`", Allowed: "an absolute path", Meaning: "`prometheus.io/path`"},
	{Name: AnnotationMetricsScheme, On: OnPod, Default: "`http`", Allowed: "`http`, `https`", Meaning: "`prometheus.io/scheme`"},
	{Name: AnnotationSidecarCPURequest, On: OnPod, Default: "from config", Allowed: quantities, Meaning: "CPU request of the sidecar"},
	{Name: AnnotationSidecarCPULimit, On: OnPod, Default: "from config", Allowed: quantities + ", at least `10m`", Meaning: "CPU limit of the sidecar"},
	{Name: AnnotationSidecarMemoryRequest, On: OnPod, Default: "from config", Allowed: quantities, Meaning: "memory request of the sidecar"},
	{Name: AnnotationSidecarMemoryLimit, On: OnPod, Default: "from config", Allowed: quantities + ", at least `32Mi`", Meaning: "memory limit of the sidecar"},
	{Name: AnnotationStatus, On: OnPod, Default: "–", Allowed: "JSON", Meaning: "version, configuration hash, what was done, what was skipped and why", Written: true},

	{Name: AnnotationBackupEnabled, On: OnStatefulSet, Default: "`false`", Allowed: "`true`, `false`", Meaning: "this StatefulSet is PostgreSQL: back it up"},
	{Name: AnnotationBackupSchedule, On: OnStatefulSet, Default: "`0 1 * * *`", Allowed: cronRule, Meaning: "when the backup runs; `H` is a value of the StatefulSet's own, so that not all start at once"},
	{Name: AnnotationBackupTimeZone, On: OnStatefulSet, Default: "`Etc/UTC`", Allowed: "an IANA time zone name", Meaning: "time zone of both schedules"},
	{Name: AnnotationBackupBucket, On: OnStatefulSet, Default: "`NAMESPACE/NAME` below the one from config", Allowed: "`s3://bucket/prefix`", Meaning: "where backups are kept; one prefix for one server"},
	{Name: AnnotationBackupRetentionDays, On: OnStatefulSet, Default: "`7` (staging `3`)", Allowed: "a whole number of days, 1 or more", Meaning: "a backup younger than this is never deleted"},
	{Name: AnnotationBackupKeepMinimum, On: OnStatefulSet, Default: "`3`", Allowed: "a whole number, 1 or more", Meaning: "the newest backups that are never deleted, however old"},
	{Name: AnnotationBackupDatabases, On: OnStatefulSet, Default: "`*`", Allowed: "`*`, or a comma list of database names", Meaning: "the databases that are backed up; `*` is every one that is not a template"},
	{Name: AnnotationBackupURLSecret, On: OnStatefulSet, Default: "`postgres-credentials/url`", Allowed: "Secret `name/key`", Meaning: "holds `DATABASE_URL`"},
	{Name: AnnotationBackupAWSSecret, On: OnStatefulSet, Default: "–", Allowed: "a Secret's name", Meaning: "mounted at `/var/aws` as the credentials file"},
	{Name: AnnotationBackupServiceAccount, On: OnStatefulSet, Default: "–", Allowed: "a ServiceAccount's name", Meaning: "runs the Job, for credentials by IRSA"},
	{Name: AnnotationBackupAWSRegion, On: OnStatefulSet, Default: "from config", Allowed: "an AWS region", Meaning: "region of the bucket and of CloudWatch"},
	{Name: AnnotationBackupS3Endpoint, On: OnStatefulSet, Default: "from config", Allowed: "an `http` or `https` URL", Meaning: "S3-compatible store"},
	{Name: AnnotationBackupParallelism, On: OnStatefulSet, Default: "`2`", Allowed: "1 to 16", Meaning: "dump processes at a time"},
	{Name: AnnotationBackupDeadline, On: OnStatefulSet, Default: "`4h`", Allowed: "a duration from `1m` to `24h`", Meaning: "a run that takes longer is stopped and counted as failed"},
	{Name: AnnotationBackupEncryptionRecipients, On: OnStatefulSet, Default: "–", Allowed: "Secret `name/key`", Meaning: "age recipients that backups are encrypted to"},
	{Name: AnnotationBackupEncryptionIdentity, On: OnStatefulSet, Default: "–", Allowed: "Secret `name/key`", Meaning: "age identity that drills and restores read encrypted backups with; backups never see it"},
	{Name: AnnotationBackupDrillSchedule, On: OnStatefulSet, Default: "`0 3 1 */3 *`", Allowed: cronRule + ", or `never`", Meaning: "when a restore drill runs"},
	{Name: AnnotationBackupSuspend, On: OnStatefulSet, Default: "`false`", Allowed: "`true`, `false`", Meaning: "keeps the CronJob and starts nothing"},
	{Name: AnnotationBackupOnDelete, On: OnStatefulSet, Default: "`keep`", Allowed: "`keep`, `delete`", Meaning: "StatefulSet deleted: keep the CronJob suspended, or delete it; data in S3 is never touched"},
	{Name: AnnotationBackupClientImage, On: OnStatefulSet, Default: "the StatefulSet's own image", Allowed: "an image reference", Meaning: "image whose PostgreSQL programs run the backup and the drill"},
	{Name: AnnotationBackupRun, On: OnStatefulSet, Default: "–", Allowed: "1 to 63 letters, digits and `-_.:+`, after `drill:` for a drill", Meaning: "starts a run now, once for each new value"},
	{Name: AnnotationBackupStatus, On: OnStatefulSet, Default: "–", Allowed: "JSON", Meaning: "last success, last verified, bytes, duration, last failure of each database", Written: true},
}

// NearestKey returns the key of the language that is closest to an unknown
// name by edit distance, among those with the same prefix up to the slash, and
// "" when none is near enough to be what was meant.
func NearestKey(name string) string {
	prefix, _, _ := strings.Cut(name, "/")
	best, bestDistance := "", 4 // three edits: beyond that it is another word
	for _, k := range keys {
		p, _, _ := strings.Cut(k.Name, "/")
		if p != prefix || k.Written {
			continue
		}
		if d := editDistance(name, k.Name); d < bestDistance {
			best, bestDistance = k.Name, d
		}
	}
	return best
}

// editDistance is Levenshtein's, one row at a time.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
