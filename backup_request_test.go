package novawire

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBackupRequests(t *testing.T) {
	cases := []struct {
		name        string
		annotations map[string]string
		want        func(*BackupRequest)
	}{
		{"needs no more than enabled", map[string]string{AnnotationBackupEnabled: "true"}, func(r *BackupRequest) { r.Enabled = true }},
		{"is shaped by every key", map[string]string{
			AnnotationBackupBucket: "s3://nova/auth", AnnotationBackupRetentionDays: "30", AnnotationBackupKeepMinimum: "5",
			AnnotationBackupDatabases: "nova_auth,nova_content", AnnotationBackupURLSecret: "pg.main/DATABASE_URL",
			AnnotationBackupAWSSecret: "aws", AnnotationBackupServiceAccount: "backup", AnnotationBackupAWSRegion: "eu-central-1",
			AnnotationBackupS3Endpoint: "http://s3.local:7070", AnnotationBackupParallelism: "4", AnnotationBackupDeadline: "90m",
			AnnotationBackupEncryptionRecipients: "age/recipients", AnnotationBackupEncryptionIdentity: "age-key/identity",
			AnnotationBackupSuspend: "true", AnnotationBackupOnDelete: "delete", AnnotationBackupClientImage: "postgres:17",
			AnnotationBackupTimeZone: "Europe/Berlin", AnnotationBackupRun: "drill:2026-11-23",
		}, func(r *BackupRequest) {
			*r = BackupRequest{
				Schedule: r.Schedule, TimeZone: "Europe/Berlin", Bucket: "s3://nova/auth", RetentionDays: 30, KeepMinimum: 5,
				Databases: "nova_auth,nova_content", URLSecret: SecretKey{"pg.main", "DATABASE_URL"}, AWSSecret: "aws",
				ServiceAccount: "backup", AWSRegion: "eu-central-1", S3Endpoint: "http://s3.local:7070", Parallelism: 4,
				Deadline: 90 * time.Minute, EncryptionRecipients: SecretKey{"age", "recipients"},
				EncryptionIdentity: SecretKey{"age-key", "identity"}, Drill: true, DrillSchedule: r.DrillSchedule,
				Suspend: true, OnDelete: OnDeleteDelete, ClientImage: "postgres:17", Run: "drill:2026-11-23",
			}
		}},
		{"may do without drills", map[string]string{AnnotationBackupDrillSchedule: "never"}, func(r *BackupRequest) { r.Drill = false }},
		{"leaves our own status alone", map[string]string{AnnotationBackupStatus: "{"}, func(*BackupRequest) {}},
		{"leaves others' keys alone", map[string]string{"velero.io/exclude": "x"}, func(*BackupRequest) {}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := DefaultBackupRequest()
			c.want(&want)
			got, refusals := ParseBackup(DefaultBackupRequest(), c.annotations)
			if len(refusals) > 0 {
				t.Errorf("refused: %v", refusals)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Cron{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBadBackupRequestsAreRefusedWithWhatIsAllowed(t *testing.T) {
	cases := []struct{ name, key, value, want string }{
		{"a word for a flag", AnnotationBackupEnabled, "yes", `backup.nova.dev/enabled: "yes" is refused: use true, false`},
		{"a schedule of four fields", AnnotationBackupSchedule, "0 1 * *", `backup.nova.dev/schedule: "0 1 * *" is refused: use a cron expression of five fields; minute and hour may be H or H(0-29) (4 fields instead of 5)`},
		{"a zone that is none", AnnotationBackupTimeZone, "Mars/Olympus", `backup.nova.dev/time-zone: "Mars/Olympus" is refused: use an IANA time zone name`},
		{"the machine's zone", AnnotationBackupTimeZone, "Local", `backup.nova.dev/time-zone: "Local" is refused: use an IANA time zone name`},
		{"a bucket without its scheme", AnnotationBackupBucket, "nova", `backup.nova.dev/bucket: "nova" is refused: use s3://bucket/prefix`},
		{"no retention", AnnotationBackupRetentionDays, "0", `backup.nova.dev/retention-days: "0" is refused: use a whole number of days, 1 or more`},
		{"a signed number", AnnotationBackupKeepMinimum, "+3", `backup.nova.dev/keep-minimum: "+3" is refused: use a whole number, 1 or more`},
		{"a Secret without a key", AnnotationBackupURLSecret, "postgres-credentials", `backup.nova.dev/url-secret: "postgres-credentials" is refused: use Secret name/key`},
		{"a Secret's content", AnnotationBackupURLSecret, "postgres://nova:hunter2@db/x", `backup.nova.dev/url-secret: "(a URL with a password, hidden)" is refused: use Secret name/key`},
		{"a name in capitals", AnnotationBackupServiceAccount, "Backup", `backup.nova.dev/service-account: "Backup" is refused: use a ServiceAccount's name`},
		{"a region with a blank", AnnotationBackupAWSRegion, "eu central", `backup.nova.dev/aws-region: "eu central" is refused: use an AWS region`},
		{"too many at a time", AnnotationBackupParallelism, "17", `backup.nova.dev/parallelism: "17" is refused: use 1 to 16`},
		{"days as a deadline", AnnotationBackupDeadline, "1d", `backup.nova.dev/deadline: "1d" is refused: use a duration from 1m to 24h`},
		{"a policy that is none", AnnotationBackupOnDelete, "orphan", `backup.nova.dev/on-delete: "orphan" is refused: use keep, delete`},
		{"a key misspelt", BackupPrefix + "retention-day", "7", `backup.nova.dev/retention-day: "7" is refused: use backup.nova.dev/retention-days`},
		{"a key of nobody", BackupPrefix + "colour", "red", `backup.nova.dev/colour: "red" is refused: use one of the keys of docs/annotations.md`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, refusals := ParseBackup(DefaultBackupRequest(), map[string]string{c.key: c.value})
			if len(refusals) != 1 || refusals[0].Error() != c.want {
				t.Errorf("got %v\nwant %s", refusals, c.want)
			}
			if diff := cmp.Diff(DefaultBackupRequest(), got, cmp.AllowUnexported(Cron{})); diff != "" {
				t.Errorf("the request changed:\n%s", diff)
			}
		})
	}
}

func TestBackupDefaultsOfTheConfiguration(t *testing.T) {
	defaults, refusals := WithBackupDefaults(map[string]string{
		AnnotationBackupBucket: "s3://nova-backups/staging/", AnnotationBackupRetentionDays: "3",
	})
	if len(refusals) > 0 {
		t.Fatal(refusals)
	}
	if got := defaults.Place("nova", "auth-db"); got != "s3://nova-backups/staging/nova/auth-db" {
		t.Errorf("kept at %s: one prefix is one server", got)
	}
	own, _ := ParseBackup(defaults, map[string]string{AnnotationBackupBucket: "s3://elsewhere/x"})
	if got := own.Place("nova", "auth-db"); got != "s3://elsewhere/x" || own.RetentionDays != 3 {
		t.Errorf("kept at %s for %d days", got, own.RetentionDays)
	}
	if _, refusals = WithBackupDefaults(map[string]string{AnnotationBackupEnabled: "true"}); len(refusals) != 1 {
		t.Errorf("enabled for everyone was taken: %v", refusals)
	}
}

func TestEveryBackupKeyIsRead(t *testing.T) {
	var language, read []string
	for _, k := range BackupKeys() {
		if k.On == OnStatefulSet && !k.Written {
			language = append(language, k.Name)
		}
	}
	for _, rule := range backupRules {
		read = append(read, rule.key)
	}
	if diff := cmp.Diff(language, read); diff != "" {
		t.Errorf("(-language +read)\n%s", diff)
	}
}

func TestARunValueIsTaken(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for _, drill := range []bool{true, false} {
		r, refusals := ParseBackup(BackupRequest{}, map[string]string{AnnotationBackupRun: RunValue(drill, at)})
		if len(refusals) > 0 || r.Drills() != drill {
			t.Errorf("drill %t: %v %v", drill, r.Run, refusals)
		}
	}
}
