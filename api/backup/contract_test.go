package backup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBackupEnvironmentRules(t *testing.T) {
	cases := []struct {
		name, variable, value string
		ok                    bool
	}{
		{"takes a bucket with a prefix", EnvS3Bucket, "s3://nova-backups/prod/auth", true},
		{"takes a bucket alone", EnvS3Bucket, "s3://nova-backups", true},
		{"refuses a bucket without the scheme", EnvS3Bucket, "nova-backups/prod", false},
		{"takes a URL without a database", EnvDatabaseURL, "postgres://u@h:5432", true},
		{"refuses keywords as a URL", EnvDatabaseURL, "host=h user=u", false},
		{"refuses no retention at all", EnvRetentionDays, "0", false},
		{"refuses a retention of half a day", EnvRetentionDays, "0.5", false},
		{"refuses to keep none", EnvKeepMinimum, "0", false},
		{"takes the widest parallelism", EnvParallelism, "16", true},
		{"refuses more than that", EnvParallelism, "17", false},
		{"refuses a deadline of seconds", EnvDeadline, "30s", false},
		{"refuses an empty name in the list", EnvDatabases, "nova_auth,,nova_content", false},
		{"refuses an endpoint without a host", EnvS3Endpoint, "http://", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := variable(t, c.variable).Check(c.value); (err == nil) != c.ok {
				t.Errorf("%s=%q: got error %v, want ok=%v", c.variable, c.value, err, c.ok)
			}
		})
	}
}

func TestEnvironment_Defaults(t *testing.T) {
	for _, v := range Environment() {
		if v.Default != "" && v.Check(v.Default) != nil {
			t.Errorf("%s: its default is refused: %v", v.Name, v.Check(v.Default))
		}
	}
}

func TestVariable_Check_Secret(t *testing.T) {
	if err := variable(t, EnvDatabaseURL).Check("mysql://u:hunter2@h"); strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the message shows the password: %v", err)
	}
}

func TestCategory_ExitCode(t *testing.T) {
	seen := map[int]Category{}
	for _, exit := range Exits() {
		if other, twice := seen[exit.Code]; twice {
			t.Errorf("%q and %q both exit with %d", other, exit.Category, exit.Code)
		}
		seen[exit.Code] = exit.Category
		if exit.Category.ExitCode() != exit.Code {
			t.Errorf("%q exits with %d, the list says %d", exit.Category, exit.Category.ExitCode(), exit.Code)
		}
	}
}

func TestResult_Encode(t *testing.T) {
	at := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	want := Result{Verb: "run", Started: at, Seconds: 12.5, Databases: []DatabaseResult{
		{Name: "nova_auth", Backup: "20261122T010000Z-1a2b3c", Bytes: 10, Stored: 3, Rows: 2, LastSuccess: &at},
	}}
	got, err := ParseResult(want.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message changed on its way (-want +got):\n%s", diff)
	}
}

func TestResult_Encode_Limit(t *testing.T) {
	r := Result{Verb: "run", Category: CategorySource, Message: strings.Repeat("é", 5000), Warnings: []string{strings.Repeat("w", 5000)}}
	for i := range 300 {
		r.Databases = append(r.Databases, DatabaseResult{Name: fmt.Sprint("db", i), Backup: "20261122T010000Z-1a2b3c"})
	}
	r.Databases[250].Category = CategorySource
	encoded := r.Encode()
	if len(encoded) > MessageLimit {
		t.Fatalf("%d bytes do not fit", len(encoded))
	}
	got, err := ParseResult(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Truncated || len(got.Databases) != 1 || got.Databases[0].Name != "db250" {
		t.Errorf("the failed database is not what was kept: %+v", got)
	}
}

func variable(t *testing.T, name string) Variable {
	t.Helper()
	for _, v := range Environment() {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no variable %s", name)
	return Variable{}
}
