package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// Labels of every generated object and pod. NetworkPolicies of users may refer to them.
const (
	LabelManagedBy   = "app.kubernetes.io/managed-by"
	ManagedBy        = "novawire"
	LabelStatefulSet = backupapi.AnnotationPrefix + "statefulset"
	LabelSecret      = backupapi.AnnotationPrefix + "secret"
	LabelService     = backupapi.AnnotationPrefix + "service"
	LabelVerb        = backupapi.AnnotationPrefix + "verb"
)

// Annotations of the generated objects.
const (
	// AnnotationSource is the reference of a source that is no StatefulSet. Its name may
	// be too long for a label.
	AnnotationSource = backupapi.AnnotationPrefix + "source"
	// AnnotationServes is on the CronJob: the operator's resource whose server is backed
	// up, as KIND/NAME.
	AnnotationServes        = backupapi.AnnotationPrefix + "serves"
	AnnotationSuspendReason = backupapi.AnnotationPrefix + "suspended-because"
	AnnotationAppliedHash   = backupapi.AnnotationPrefix + "applied"
)

// Container is the name of the container that runs pg-backup.
const Container = "pg-backup"

// InstallContainer is the init container that copies the program of the pg-backup image.
const InstallContainer = "install"

// The verbs of pg-backup that Jobs run.
const (
	VerbRun     = "run"
	VerbDrill   = "drill"
	VerbRestore = "restore"
	VerbList    = "list"
	VerbVerify  = "verify"
	// VerbEvidence lists and verifies the records of drills.
	VerbEvidence = "evidence"
)

// The CronJob controller appends 11 characters to the name of a CronJob, and the name
// of a Job becomes a label of its pods, of at most 63 characters.
const (
	maxCronJobName = 52
	maxLabelValue  = 63
)

// sourceLabels are the labels that select the objects of a source, by its kind.
var sourceLabels = map[backupapi.Kind]string{
	backupapi.KindStatefulSet: LabelStatefulSet, backupapi.KindSecret: LabelSecret, backupapi.KindService: LabelService,
}

// SourceLabels returns the label that selects the objects and pods of a source.
func SourceLabels(s backupapi.Source) map[string]string {
	return map[string]string{sourceLabels[s.Kind]: labelValue(s.Name)}
}

func sourceAnnotations(s backupapi.Source) map[string]string {
	if s.Kind == backupapi.KindStatefulSet {
		return nil
	}
	return map[string]string{AnnotationSource: s.Reference()}
}

// MadeFor returns the source that an object or a pod was made for, false if it was made
// for none.
func MadeFor(o metav1.Object) (backupapi.Source, bool) {
	if reference := o.GetAnnotations()[AnnotationSource]; reference != "" {
		return backupapi.ParseReference(o.GetNamespace(), reference)
	}
	name := o.GetLabels()[LabelStatefulSet]
	return backupapi.StatefulSet(o.GetNamespace(), name), name != ""
}

// IsMadeFor reports whether an object was made for a source. Two shortened names can be
// equal, so names do not decide.
func IsMadeFor(o metav1.Object, s backupapi.Source) bool {
	if s.Kind == backupapi.KindStatefulSet { // the label of a long name is shortened
		return o.GetLabels()[LabelStatefulSet] == labelValue(s.Name)
	}
	made, ok := MadeFor(o)
	return ok && made == s
}

// base begins the names of a source's objects.
func base(s backupapi.Source) string { return strings.Replace(s.Reference(), "/", "-", 1) }

// BackupName returns the name of the backup CronJob of a source, which is also that
// of its ServiceAccount and NetworkPolicy.
func BackupName(s backupapi.Source) string { return name(base(s), "-backup", maxCronJobName) }

// DrillName returns the name of the drill CronJob of a source.
func DrillName(s backupapi.Source) string { return name(base(s), "-drill", maxCronJobName) }

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

// labelValue shortens a name of more than 63 characters, which is no label value.
func labelValue(name string) string {
	if len(name) <= maxLabelValue {
		return name
	}
	return shorten(name, maxLabelValue)
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
func scheduleSeed(s backupapi.Source, what string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.Namespace + "/" + s.Reference() + "/" + what))
	return h.Sum64()
}
