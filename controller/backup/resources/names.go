package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"

	backupapi "github.com/nova/novawire/api/backup"
)

// Labels of every object and pod that is made for a StatefulSet. Users' own
// NetworkPolicies may refer to them.
const (
	LabelManagedBy   = "app.kubernetes.io/managed-by"
	ManagedBy        = "novawire"
	LabelStatefulSet = backupapi.AnnotationPrefix + "statefulset"
	LabelVerb        = backupapi.AnnotationPrefix + "verb"
)

// Annotations of the CronJobs.
const (
	AnnotationSuspendReason = backupapi.AnnotationPrefix + "suspended-because"
	AnnotationAppliedHash   = backupapi.AnnotationPrefix + "applied"
)

// Container is the name of the container that runs pg-backup.
const Container = "pg-backup"

// The verbs of pg-backup that Jobs run.
const (
	VerbRun     = "run"
	VerbDrill   = "drill"
	VerbRestore = "restore"
	VerbList    = "list"
	VerbVerify  = "verify"
)

// CronJobs' names are appended a time and are at most 52 characters long; the
// names of Jobs become a label of their pods, of at most 63.
const (
	maxCronJobName = 52
	maxLabelValue  = 63
)

// BackupName is the name of the CronJob that backs a StatefulSet up, and of what
// else is made for it; DrillName is that of the drill's CronJob.
func BackupName(statefulSet string) string { return name(statefulSet, "-backup", maxCronJobName) }

// DrillName is the name of the CronJob that drills.
func DrillName(statefulSet string) string { return name(statefulSet, "-drill", maxCronJobName) }

// name puts a suffix to a base, which is cut and told apart by a hash where the
// two are too long.
func name(base, suffix string, longest int) string {
	if len(base)+len(suffix) <= longest {
		return base + suffix
	}
	return base[:longest-len(suffix)-9] + "-" + shortHash(base) + suffix
}

// JobName is the name of the Job that a token asks for: the same token, the same Job.
func JobName(cronJob, verb, token string) string {
	return name(cronJob, "-"+verb+"-"+shortHash(token), maxLabelValue)
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// scheduleSeed spreads schedules.
func scheduleSeed(namespace, statefulSet, what string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(namespace + "/" + statefulSet + "/" + what))
	return h.Sum64()
}
