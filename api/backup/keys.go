// Package backup is the contract of backups: the annotations that ask for them and
// their validation ([Request]), the environment and the exit codes of pg-backup, its
// termination message ([Result]), and the status that the controller writes ([Status]).
package backup

import (
	"slices"

	"github.com/nova/novawire/api"
)

// AnnotationPrefix is the prefix of the annotations that ask for backups.
const AnnotationPrefix = "backup.nova.dev/"

// Annotations of a PostgreSQL server's StatefulSet, or of a Secret or Service that knows
// its connection.
const (
	AnnotationEnabled              = AnnotationPrefix + "enabled"
	AnnotationSchedule             = AnnotationPrefix + "schedule"
	AnnotationTimeZone             = AnnotationPrefix + "time-zone"
	AnnotationBucket               = AnnotationPrefix + "bucket"
	AnnotationRetentionDays        = AnnotationPrefix + "retention-days"
	AnnotationKeepMinimum          = AnnotationPrefix + "keep-minimum"
	AnnotationDatabases            = AnnotationPrefix + "databases"
	AnnotationExcludeDatabases     = AnnotationPrefix + "exclude-databases"
	AnnotationExcludeTableData     = AnnotationPrefix + "exclude-table-data"
	AnnotationURLSecret            = AnnotationPrefix + "url-secret"
	AnnotationAWSSecret            = AnnotationPrefix + "aws-secret"
	AnnotationServiceAccount       = AnnotationPrefix + "service-account"
	AnnotationAWSRegion            = AnnotationPrefix + "aws-region"
	AnnotationS3Endpoint           = AnnotationPrefix + "s3-endpoint"
	AnnotationParallelism          = AnnotationPrefix + "parallelism"
	AnnotationDeadline             = AnnotationPrefix + "deadline"
	AnnotationEncryptionRecipients = AnnotationPrefix + "encryption-recipients"
	AnnotationDrillSchedule        = AnnotationPrefix + "drill-schedule"
	AnnotationSuspend              = AnnotationPrefix + "suspend"
	AnnotationOnDelete             = AnnotationPrefix + "on-delete"
	AnnotationClientImage          = AnnotationPrefix + "client-image"
	AnnotationEncryptionIdentity   = AnnotationPrefix + "encryption-identity"
	AnnotationCopyBucket           = AnnotationPrefix + "copy-bucket"
	AnnotationCopyS3Endpoint       = AnnotationPrefix + "copy-s3-endpoint"
	AnnotationCopyAWSRegion        = AnnotationPrefix + "copy-aws-region"
	AnnotationCopyAWSSecret        = AnnotationPrefix + "copy-aws-secret"
	AnnotationCopyRetentionDays    = AnnotationPrefix + "copy-retention-days"
	AnnotationSigningKey           = AnnotationPrefix + "signing-key"
	AnnotationEvidenceKey          = AnnotationPrefix + "evidence-key"
	AnnotationVerifyKey            = AnnotationPrefix + "verify-key"
	AnnotationRun                  = AnnotationPrefix + "run"
	AnnotationUnprotectedReason    = AnnotationPrefix + "unprotected-reason"
	// AnnotationServiceAccountAnnotations is an annotation of a Namespace.
	AnnotationServiceAccountAnnotations = AnnotationPrefix + "service-account-annotations"
	// AnnotationStatus is written by the controller, never read as a request.
	AnnotationStatus = AnnotationPrefix + "status"
)

// LabelNamespace on a Namespace with the value [NamespaceDisabled] refuses backups in
// that namespace. The label that enables wiring has no influence on backups.
const (
	LabelNamespace    = api.Domain + "/backup"
	NamespaceDisabled = "disabled"
)

const cronRule = "a cron expression of five fields; minute and hour may be `H` or `H(0-29)`"

// Keys lists the annotations in the order of the documentation.
func Keys() []api.Key { return slices.Clone(keys) }

var keys = []api.Key{
	{Name: LabelNamespace, On: api.OnNamespace, Label: true, Default: "–", Allowed: "`disabled`", Meaning: "no backup runs in the namespace; existing CronJobs are suspended"},
	{Name: AnnotationServiceAccountAnnotations, On: api.OnNamespace, Default: "from config", Allowed: "`key=value,key=value`", Meaning: "annotations of the generated ServiceAccounts, over those of the configuration: for example an IAM role of the namespace's own"},
	{Name: AnnotationEnabled, On: api.OnStatefulSet, Default: "`false`", Allowed: "`true`, `false`", Meaning: "this is PostgreSQL, or the connection to one: back it up"},
	{Name: AnnotationSchedule, On: api.OnStatefulSet, Default: "`0 1 * * *`", Allowed: cronRule, Meaning: "when the backup runs; `H` is a value of the object's own, so that not all start at once"},
	{Name: AnnotationTimeZone, On: api.OnStatefulSet, Default: "`Etc/UTC`", Allowed: "an IANA time zone name", Meaning: "time zone of both schedules"},
	{Name: AnnotationBucket, On: api.OnStatefulSet, Default: "`NAMESPACE/NAME` below the one from config; `NAMESPACE/secret_NAME` of a Secret, `NAMESPACE/service_NAME` of a Service", Allowed: "`s3://bucket/prefix`", Meaning: "where backups are kept; one prefix for one server"},
	{Name: AnnotationRetentionDays, On: api.OnStatefulSet, Default: "`7` (staging `3`)", Allowed: "a whole number of days from 1 to 36500", Meaning: "a backup younger than this is never deleted"},
	{Name: AnnotationKeepMinimum, On: api.OnStatefulSet, Default: "`3`", Allowed: "a whole number from 1 to 36500", Meaning: "the newest backups that are never deleted, however old"},
	{Name: AnnotationDatabases, On: api.OnStatefulSet, Default: "`*`; of a Secret or Service the database that the connection names, else `*`", Allowed: "`*`, or a comma list of database names", Meaning: "the databases that are backed up; `*` is every one that is not a template"},
	{Name: AnnotationExcludeDatabases, On: api.OnStatefulSet, Default: "–", Allowed: "a comma list of psql patterns", Meaning: "databases that are not backed up; `*`, `?` and `|` as in psql, double quotes keep case and special characters"},
	{Name: AnnotationExcludeTableData, On: api.OnStatefulSet, Default: "–", Allowed: "a comma list of psql patterns, `table` or `schema.table`", Meaning: "tables that are backed up without their rows; the manifest, `list` and a restore name them"},
	{Name: AnnotationURLSecret, On: api.OnStatefulSet, Default: "the environment of the PostgreSQL container, else `postgres-credentials/url`; the keys of the annotated Secret", Allowed: "Secret `name/key`, or `name/user=key,password=key`", Meaning: "holds `DATABASE_URL`, or the parts of the connection; `host=key` and `port=key` can be added"},
	{Name: AnnotationAWSSecret, On: api.OnStatefulSet, Default: "–", Allowed: "a Secret's name", Meaning: "mounted at `/var/aws` as the credentials file"},
	{Name: AnnotationServiceAccount, On: api.OnStatefulSet, Default: "–", Allowed: "a ServiceAccount's name", Meaning: "runs the Job, for credentials by IRSA"},
	{Name: AnnotationAWSRegion, On: api.OnStatefulSet, Default: "from config", Allowed: "an AWS region", Meaning: "region of the bucket and of CloudWatch"},
	{Name: AnnotationS3Endpoint, On: api.OnStatefulSet, Default: "from config", Allowed: "an `http` or `https` URL", Meaning: "S3-compatible store"},
	{Name: AnnotationParallelism, On: api.OnStatefulSet, Default: "`2`", Allowed: "1 to 16", Meaning: "dump processes at a time"},
	{Name: AnnotationDeadline, On: api.OnStatefulSet, Default: "`4h`", Allowed: "a duration from `1m` to `24h`", Meaning: "a run that takes longer is stopped and counted as failed"},
	{Name: AnnotationEncryptionRecipients, On: api.OnStatefulSet, Default: "–", Allowed: "Secret `name/key`", Meaning: "age recipients that backups are encrypted to"},
	{Name: AnnotationEncryptionIdentity, On: api.OnStatefulSet, Default: "–", Allowed: "Secret `name/key`", Meaning: "age identity that drills and restores read encrypted backups with; backups never see it"},
	{Name: AnnotationSigningKey, On: api.OnStatefulSet, Default: "–", Allowed: "Secret `name/key`", Meaning: "OpenSSH Ed25519 key that signs the manifests of backups, and the evidence of drills unless `evidence-key` is set"},
	{Name: AnnotationEvidenceKey, On: api.OnStatefulSet, Default: "the `signing-key`", Allowed: "Secret `name/key`", Meaning: "OpenSSH Ed25519 key that signs the evidence of drills; backups never see it"},
	{Name: AnnotationVerifyKey, On: api.OnStatefulSet, Default: "–", Allowed: "Secret `name/key`", Meaning: "public keys that are trusted, one a line; with it, a backup that is unsigned or was changed is refused"},
	{Name: AnnotationCopyBucket, On: api.OnStatefulSet, Default: "`NAMESPACE/NAME` below the one from config, else no copy", Allowed: "`s3://bucket/prefix`", Meaning: "second store: each committed backup is copied there and read back"},
	{Name: AnnotationCopyS3Endpoint, On: api.OnStatefulSet, Default: "the `s3-endpoint`", Allowed: "an `http` or `https` URL", Meaning: "S3-compatible store of the copy"},
	{Name: AnnotationCopyAWSRegion, On: api.OnStatefulSet, Default: "the `aws-region`", Allowed: "an AWS region", Meaning: "region of the copy"},
	{Name: AnnotationCopyAWSSecret, On: api.OnStatefulSet, Default: "the credentials of the first store", Allowed: "a Secret's name", Meaning: "its entry `credentials` is for the copy, for example of another account"},
	{Name: AnnotationCopyRetentionDays, On: api.OnStatefulSet, Default: "the `retention-days`", Allowed: "a whole number of days from 1 to 36500", Meaning: "retention of the copy"},
	{Name: AnnotationDrillSchedule, On: api.OnStatefulSet, Default: "`0 3 1 */3 *`", Allowed: cronRule + ", or `never`", Meaning: "when a restore drill runs"},
	{Name: AnnotationSuspend, On: api.OnStatefulSet, Default: "`false`", Allowed: "`true`, `false`", Meaning: "keeps the CronJob and starts nothing"},
	{Name: AnnotationOnDelete, On: api.OnStatefulSet, Default: "`keep`", Allowed: "`keep`, `delete`", Meaning: "the object is deleted: keep the CronJob suspended, or delete it; data in S3 is never touched"},
	{Name: AnnotationClientImage, On: api.OnStatefulSet, Default: "the StatefulSet's own image; ours for a Secret or Service", Allowed: "an image reference", Meaning: "image whose PostgreSQL programs run the backup and the drill"},
	{Name: AnnotationRun, On: api.OnStatefulSet, Default: "–", Allowed: "1 to 63 letters, digits and `-_.:+`, after `drill:` for a drill", Meaning: "starts a run now, once for each new value"},
	{Name: AnnotationUnprotectedReason, On: api.OnStatefulSet, Default: "–", Allowed: "1 to 200 printable characters", Meaning: "why this database needs no backup: `backup audit` shows the reason, and the alert is silent"},
	{Name: AnnotationStatus, On: api.OnStatefulSet, Default: "–", Allowed: "JSON", Meaning: "last success, last verified, bytes, duration, last failure of each database", Written: true},
}
