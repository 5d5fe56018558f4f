package backup

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/internal/validate"
)

// DrillNever is the value of [AnnotationDrillSchedule] that asks for no drills.
const DrillNever = "never"

// OnDelete is what happens to the CronJobs of a deleted StatefulSet.
type OnDelete string

// The values of [AnnotationOnDelete].
const (
	OnDeleteKeep   OnDelete = "keep"
	OnDeleteDelete OnDelete = "delete"
)

// SecretKey refers to one key of a Secret in the same namespace.
type SecretKey struct{ Name, Key string }

func (s SecretKey) String() string {
	if s == (SecretKey{}) {
		return ""
	}
	return s.Name + "/" + s.Key
}

// Request is the backup request of a [Source].
type Request struct {
	Enabled  bool
	Schedule Cron
	TimeZone string // IANA name
	// Bucket is the value of the annotation. If it is "", the backups are stored
	// below BucketRoot, the configuration's bucket.
	Bucket, BucketRoot   string
	RetentionDays        int
	KeepMinimum          int
	Databases            string
	ExcludeDatabases     string
	ExcludeTableData     string
	URLSecret            SecretKey
	AWSSecret            string
	ServiceAccount       string
	AWSRegion            string
	S3Endpoint           string
	Parallelism          int
	Deadline             time.Duration
	EncryptionRecipients SecretKey
	EncryptionIdentity   SecretKey
	// CopyBucket is the second store: the annotation, or "" for a place below
	// CopyBucketRoot, the configuration's. The other fields are as of the first store;
	// zero means the same.
	CopyBucket, CopyBucketRoot string
	CopyS3Endpoint             string
	CopyAWSRegion              string
	CopyAWSSecret              string
	CopyRetentionDays          int
	SigningKey                 SecretKey
	EvidenceKey                SecretKey // zero means SigningKey
	VerifyKey                  SecretKey
	Drill                      bool
	DrillSchedule              Cron
	Suspend                    bool
	OnDelete                   OnDelete
	ClientImage                string // "" means the StatefulSet's own
	UnprotectedReason          string // why the database needs no backup
	Run                        string // requests a run now, once for each value
	Policy                     Policy // of the defaults: what annotations may change
}

// Location returns where the backups of a source are stored: its own bucket, or a
// prefix of its own below the configuration's bucket. One prefix holds one server.
func (r Request) Location(s Source) string { return locationBelow(r.BucketRoot, r.Bucket, s) }

// CopyLocation returns where the copies of the backups are stored, by the same rule; ""
// if there are none.
func (r Request) CopyLocation(s Source) string {
	return locationBelow(r.CopyBucketRoot, r.CopyBucket, s)
}

func locationBelow(root, own string, s Source) string {
	if own != "" || root == "" {
		return own
	}
	return strings.TrimRight(root, "/") + "/" + s.Namespace + "/" + s.folder()
}

// DefaultURLSecret holds the connection of a StatefulSet that names no Secret and whose
// own environment describes no login.
var DefaultURLSecret = SecretKey{"postgres-credentials", "url"}

// allDatabases is every database that is not a template.
const allDatabases = "*"

// DefaultRequest returns the request of a StatefulSet that only sets enabled.
func DefaultRequest() Request {
	r := Request{
		TimeZone: "Etc/UTC", RetentionDays: 7, KeepMinimum: 3, Databases: allDatabases,
		Parallelism: 2, Deadline: 4 * time.Hour,
		Drill: true, OnDelete: OnDeleteKeep,
	}
	r.Schedule, _ = ParseCron("0 1 * * *")
	r.DrillSchedule, _ = ParseCron("0 3 1 */3 *")
	return r
}

// ParseDefaults parses the configuration's defaults for every request. Keys that are
// only valid on a StatefulSet are refused.
func ParseDefaults(defaults map[string]string) (Request, []validate.Refusal) {
	r, refusals := ParseRequest(DefaultRequest(), defaults)
	for _, key := range []string{AnnotationEnabled, AnnotationRun} {
		if value, ok := defaults[key]; ok {
			refusals = append(refusals, validate.Refusal{Setting: key, Value: validate.Redact(value), Allowed: "it on a StatefulSet: it is not a default"})
		}
	}
	r.BucketRoot, r.Bucket = r.Bucket, ""
	r.CopyBucketRoot, r.CopyBucket = r.CopyBucket, ""
	return r, refusals
}

// ParseRequest parses the backup.nova.dev annotations of a StatefulSet over defaults.
// Every bad value and every unknown key is a refusal: first in the order of [Keys],
// then unknown keys by name. The field of a bad value keeps its default, as does that of
// an annotation that the policy of the defaults does not allow.
func ParseRequest(defaults Request, annotations map[string]string) (Request, []validate.Refusal) {
	r := defaults
	var refusals []validate.Refusal
	for _, rule := range requestRules {
		value, ok := annotations[rule.key]
		if !ok {
			continue
		}
		if refusal, forbidden := forbids(r.Policy.Object, "the object", rule.key, value); forbidden {
			refusals = append(refusals, refusal)
			continue
		}
		before := r
		if err := rule.set(&r, value); err != nil {
			r = before
			refusal := validate.Refusal{Setting: rule.key, Value: validate.Redact(value), Allowed: keyOf(rule.key).Allowed}
			refusal.Problem = problemOf(err, refusal.Value)
			refusals = append(refusals, refusal)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(key, AnnotationPrefix) && keyOf(key).Name == "" {
			allowed := "one of the keys of docs/annotations.md"
			if nearest := api.Nearest(keys, key); nearest != "" {
				allowed = nearest
			}
			refusals = append(refusals, validate.Refusal{Setting: key, Value: validate.Redact(annotations[key]), Allowed: allowed})
		}
	}
	return r, refusals
}

// ParseSource is [ParseRequest] for one source. It also refuses a request that names no
// location for the backups, and one of a Service that names no login. A Secret or Service
// that names no databases leaves that to the connection, which may name one.
func ParseSource(defaults Request, source Source, annotations map[string]string) (Request, []validate.Refusal) {
	r, refusals := ParseRequest(defaults, annotations)
	if _, given := annotations[AnnotationDatabases]; source.Kind != KindStatefulSet && !given && r.Databases == allDatabases {
		r.Databases = ""
	}
	refused := func(key string) bool {
		return slices.ContainsFunc(refusals, func(refusal validate.Refusal) bool { return refusal.Setting == key })
	}
	if r.Enabled && !refused(AnnotationBucket) && r.Location(source) == "" {
		refusals = append(refusals, validate.Refusal{Setting: AnnotationBucket, Allowed: "s3://bucket/prefix, since the configuration names no bucket for all"})
	}
	if r.Enabled && !refused(AnnotationURLSecret) && source.Kind == KindService && r.URLSecret == (SecretKey{}) {
		refusals = append(refusals, validate.Refusal{Setting: AnnotationURLSecret, Problem: "a Service names no login: set name/user=key,password=key, or name/key for a URL"})
	}
	return r, refusals
}

// HasKeys reports whether there are annotations for [ParseRequest] to parse.
func HasKeys(annotations map[string]string) bool {
	for key := range annotations {
		if strings.HasPrefix(key, AnnotationPrefix) && key != AnnotationStatus {
			return true
		}
	}
	return false
}

func keyOf(name string) api.Key {
	k, _ := api.Find(keys, name, api.OnStatefulSet)
	return k
}

// runDrill is the prefix of a value of [AnnotationRun] that requests a drill.
const runDrill = "drill:"

// RequestsDrill reports whether the requested run is a drill.
func (r Request) RequestsDrill() bool { return strings.HasPrefix(r.Run, runDrill) }

// RunValue returns a value of [AnnotationRun] for a run requested at a time.
func RunValue(drill bool, at time.Time) string {
	value := strconv.FormatInt(at.UnixMilli(), 10)
	if drill {
		return runDrill + value
	}
	return value
}
