// Package backup is the contract of backups: the annotations that ask for them and
// their validation ([Request]), the environment and the exit codes of pg-backup, its
// termination message ([Result]), and the status that the controller writes ([Status]).
package novawire

import "slices"

// BackupPrefix is the prefix of the annotations that ask for backups.
const BackupPrefix = "backup.nova.dev/"

// Annotations of a PostgreSQL StatefulSet.
const (
	AnnotationBackupEnabled              = BackupPrefix + "enabled"
	AnnotationBackupSchedule             = BackupPrefix + "schedule"
	AnnotationBackupTimeZone             = BackupPrefix + "time-zone"
	AnnotationBackupBucket               = BackupPrefix + "bucket"
	AnnotationBackupRetentionDays        = BackupPrefix + "retention-days"
	AnnotationBackupKeepMinimum          = BackupPrefix + "keep-minimum"
	AnnotationBackupDatabases            = BackupPrefix + "databases"
	AnnotationBackupURLSecret            = BackupPrefix + "url-secret"
	AnnotationBackupAWSSecret            = BackupPrefix + "aws-secret"
	AnnotationBackupServiceAccount       = BackupPrefix + "service-account"
	AnnotationBackupAWSRegion            = BackupPrefix + "aws-region"
	AnnotationBackupS3Endpoint           = BackupPrefix + "s3-endpoint"
	AnnotationBackupParallelism          = BackupPrefix + "parallelism"
	AnnotationBackupDeadline             = BackupPrefix + "deadline"
	AnnotationBackupEncryptionRecipients = BackupPrefix + "encryption-recipients"
	AnnotationBackupDrillSchedule        = BackupPrefix + "drill-schedule"
	AnnotationBackupSuspend              = BackupPrefix + "suspend"
	AnnotationBackupOnDelete             = BackupPrefix + "on-delete"
	AnnotationBackupClientImage          = BackupPrefix + "client-image"
	AnnotationBackupEncryptionIdentity   = BackupPrefix + "encryption-identity"
	AnnotationBackupRun                  = BackupPrefix + "run"
	// AnnotationBackupStatus is written by the controller, never read as a request.
	AnnotationBackupStatus = BackupPrefix + "status"
)

const cronRule = "a cron expression of five fields; minute and hour may be `H` or `H(0-29)`"

// BackupKeys lists the annotations in the order of the documentation.
func BackupKeys() []Key { return slices.Clone(backupKeys) }

var backupKeys = []Key{
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
