package backup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/api"
)

func TestParseRequest(t *testing.T) {
	cases := []struct {
		name        string
		annotations map[string]string
		want        func(*Request)
	}{
		{"needs no more than enabled", map[string]string{AnnotationEnabled: "true"}, func(r *Request) { r.Enabled = true }},
		{"is shaped by every key", map[string]string{
			AnnotationBucket: "s3://nova/auth", AnnotationRetentionDays: "30", AnnotationKeepMinimum: "5",
			AnnotationDatabases: "nova_auth,nova_content", AnnotationURLSecret: "pg.main/DATABASE_URL",
			AnnotationAWSSecret: "aws", AnnotationServiceAccount: "backup", AnnotationAWSRegion: "eu-central-1",
			AnnotationS3Endpoint: "http://s3.local:7070", AnnotationParallelism: "4", AnnotationDeadline: "90m",
			AnnotationEncryptionRecipients: "age/recipients", AnnotationEncryptionIdentity: "age-key/identity",
			AnnotationSuspend: "true", AnnotationOnDelete: "delete", AnnotationClientImage: "postgres:17",
			AnnotationTimeZone: "Europe/Berlin", AnnotationRun: "drill:2026-11-23",
		}, func(r *Request) {
			*r = Request{
				Schedule: r.Schedule, TimeZone: "Europe/Berlin", Bucket: "s3://nova/auth", RetentionDays: 30, KeepMinimum: 5,
				Databases: "nova_auth,nova_content", URLSecret: SecretKey{"pg.main", "DATABASE_URL"}, AWSSecret: "aws",
				ServiceAccount: "backup", AWSRegion: "eu-central-1", S3Endpoint: "http://s3.local:7070", Parallelism: 4,
				Deadline: 90 * time.Minute, EncryptionRecipients: SecretKey{"age", "recipients"},
				EncryptionIdentity: SecretKey{"age-key", "identity"}, Drill: true, DrillSchedule: r.DrillSchedule,
				Suspend: true, OnDelete: OnDeleteDelete, ClientImage: "postgres:17", Run: "drill:2026-11-23",
			}
		}},
		{"may do without drills", map[string]string{AnnotationDrillSchedule: "never"}, func(r *Request) { r.Drill = false }},
		{"leaves our own status alone", map[string]string{AnnotationStatus: "{"}, func(*Request) {}},
		{"leaves others' keys alone", map[string]string{"velero.io/exclude": "x"}, func(*Request) {}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := DefaultRequest()
			c.want(&want)
			got, refusals := ParseRequest(DefaultRequest(), c.annotations)
			if len(refusals) > 0 {
				t.Errorf("refused: %v", refusals)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Cron{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseRequest_Refusals(t *testing.T) {
	cases := []struct{ name, key, value, want string }{
		{"a word for a flag", AnnotationEnabled, "yes", `backup.nova.dev/enabled: "yes" is refused: use true, false`},
		{"a schedule of four fields", AnnotationSchedule, "0 1 * *", `backup.nova.dev/schedule: "0 1 * *" is refused: use a cron expression of five fields; minute and hour may be H or H(0-29) (4 fields instead of 5)`},
		{"an unknown time zone", AnnotationTimeZone, "Mars/Olympus", `backup.nova.dev/time-zone: "Mars/Olympus" is refused: use an IANA time zone name (the database has no such name)`},
		{"the machine's zone", AnnotationTimeZone, "Local", `backup.nova.dev/time-zone: "Local" is refused: use an IANA time zone name (it depends on the machine)`},
		{"a bucket without its scheme", AnnotationBucket, "nova", `backup.nova.dev/bucket: "nova" is refused: use s3://bucket/prefix (it does not begin with s3://)`},
		{"no retention", AnnotationRetentionDays, "0", `backup.nova.dev/retention-days: "0" is refused: use a whole number of days from 1 to 36500 (it is less than 1)`},
		{"a signed number", AnnotationKeepMinimum, "+3", `backup.nova.dev/keep-minimum: "+3" is refused: use a whole number from 1 to 36500 (it is not a whole number)`},
		{"a Secret without a key", AnnotationURLSecret, "postgres-credentials", `backup.nova.dev/url-secret: "postgres-credentials" is refused: use Secret name/key, or name/user=key,password=key (it names no key: a slash is missing)`},
		{"a Secret's content", AnnotationURLSecret, "postgres://nova:hunter2@db/x", `backup.nova.dev/url-secret: the value (hidden) is refused: use Secret name/key, or name/user=key,password=key`},
		{"a name in capitals", AnnotationServiceAccount, "Backup", `backup.nova.dev/service-account: "Backup" is refused: use a ServiceAccount's name (it contains 'B'; allowed are lower-case letters, digits, dashes and dots)`},
		{"a region with a blank", AnnotationAWSRegion, "eu central", `backup.nova.dev/aws-region: "eu central" is refused: use an AWS region (it contains ' '; allowed are lower-case letters, digits and dashes)`},
		{"too many at a time", AnnotationParallelism, "17", `backup.nova.dev/parallelism: "17" is refused: use 1 to 16 (it is more than 16)`},
		{"days as a deadline", AnnotationDeadline, "1d", `backup.nova.dev/deadline: "1d" is refused: use a duration from 1m to 24h (it is not a duration: units are h, m and s)`},
		{"an unknown policy", AnnotationOnDelete, "orphan", `backup.nova.dev/on-delete: "orphan" is refused: use keep, delete`},
		{"a key misspelt", AnnotationPrefix + "retention-day", "7", `backup.nova.dev/retention-day: "7" is refused: use backup.nova.dev/retention-days`},
		{"a key of nobody", AnnotationPrefix + "colour", "red", `backup.nova.dev/colour: "red" is refused: use one of the keys of docs/annotations.md`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, refusals := ParseRequest(DefaultRequest(), map[string]string{c.key: c.value})
			if len(refusals) != 1 || refusals[0].Error() != c.want {
				t.Errorf("got %v\nwant %s", refusals, c.want)
			}
			if diff := cmp.Diff(DefaultRequest(), got, cmp.AllowUnexported(Cron{})); diff != "" {
				t.Errorf("the request changed:\n%s", diff)
			}
		})
	}
}

func TestParseDefaults(t *testing.T) {
	defaults, refusals := ParseDefaults(map[string]string{
		AnnotationBucket: "s3://nova-backups/staging/", AnnotationRetentionDays: "3",
	})
	if len(refusals) > 0 {
		t.Fatal(refusals)
	}
	if got := defaults.Location(StatefulSet("nova", "auth-db")); got != "s3://nova-backups/staging/nova/auth-db" {
		t.Errorf("kept at %s: one prefix is one server", got)
	}
	own, _ := ParseRequest(defaults, map[string]string{AnnotationBucket: "s3://elsewhere/x"})
	if got := own.Location(StatefulSet("nova", "auth-db")); got != "s3://elsewhere/x" || own.RetentionDays != 3 {
		t.Errorf("kept at %s for %d days", got, own.RetentionDays)
	}
	if _, refusals = ParseDefaults(map[string]string{AnnotationEnabled: "true"}); len(refusals) != 1 {
		t.Errorf("enabled for everyone was taken: %v", refusals)
	}
}

func TestParseRequest_EveryKey(t *testing.T) {
	var language, read []string
	for _, k := range Keys() {
		if k.On == api.OnStatefulSet && !k.Written {
			language = append(language, k.Name)
		}
	}
	for _, rule := range requestRules {
		read = append(read, rule.key)
	}
	if diff := cmp.Diff(language, read); diff != "" {
		t.Errorf("(-language +read)\n%s", diff)
	}
}

func TestRunValue(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for _, drill := range []bool{true, false} {
		r, refusals := ParseRequest(Request{}, map[string]string{AnnotationRun: RunValue(drill, at)})
		if len(refusals) > 0 || r.RequestsDrill() != drill {
			t.Errorf("drill %t: %v %v", drill, r.Run, refusals)
		}
	}
}
