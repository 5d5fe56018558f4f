package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
)

// Labels of every generated object and pod. NetworkPolicies of users may refer to them.
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

// The CronJob controller appends 11 characters to the name of a CronJob, and the name
// of a Job becomes a label of its pods, of at most 63 characters.
const (
	maxCronJobName = 52
	maxLabelValue  = 63
)

// BackupName returns the name of the backup CronJob of a StatefulSet, which is also that
// of its ServiceAccount and NetworkPolicy.
func BackupName(statefulSet string) string { return name(statefulSet, "-backup", maxCronJobName) }

// DrillName returns the name of the drill CronJob of a StatefulSet.
func DrillName(statefulSet string) string { return name(statefulSet, "-drill", maxCronJobName) }

// name appends a suffix to a base. If the result is too long, the base is shortened
// and a hash keeps it unique.
func name(base, suffix string, limit int) string {
	if len(base)+len(suffix) <= limit {
		return base + suffix
	}
	return shorten(base, limit-len(suffix)) + suffix
}

// shorten cuts a name to a limit and appends a hash of it. What is cut must not end
// with a dot: a part of a DNS name cannot start with the hash's dash.
func shorten(name string, limit int) string {
	hash := "-" + shortHash(name)
	return strings.TrimRight(name[:limit-len(hash)], ".") + hash
}

// LabelValue returns the value of [LabelStatefulSet] for a StatefulSet. Names of more
// than 63 characters are no label values; a StatefulSet of such a name has no pods.
func LabelValue(statefulSet string) string {
	if len(statefulSet) <= maxLabelValue {
		return statefulSet
	}
	return shorten(statefulSet, maxLabelValue)
}

// JobName returns the name of the Job for a token. The same token gives the same Job.
func JobName(cronJob, verb, token string) string {
	return name(cronJob, "-"+verb+"-"+shortHash(token), maxLabelValue)
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// scheduleSeed returns the seed that resolves H in a schedule.
func scheduleSeed(namespace, statefulSet, what string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(namespace + "/" + statefulSet + "/" + what))
	return h.Sum64()
}
