package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// copying returns the environment with a bucket of a second server, and that server.
func (b *environment) copying(second *pgtest.S3) (first, copied *environment) {
	b.t.Helper()
	bucket := second.Bucket(b.t)
	first = b.with("COPY_BUCKET", "s3://"+bucket+"/nova", "COPY_S3_ENDPOINT", second.Endpoint)
	copied = first.with()
	copied.s3, copied.bucket = second, bucket
	return first, copied
}

// withoutFirst returns the environment with the first store unreachable.
func (b *environment) withoutFirst() *environment { return b.with("S3_ENDPOINT", "http://127.0.0.1:1") }

func TestCopy(t *testing.T) {
	second := pgtest.NewS3(t)
	plain := newEnvironment(t)
	database := plain.pg.Database(t, social...)
	signed, _ := plain.signing()
	first, copied := signed.copying(second)
	o := first.must("run", "--databases", database)
	id := first.backups()[0].Backup

	t.Run("the same bytes arrive", func(t *testing.T) {
		for _, key := range first.s3.Keys(t, first.bucket) {
			key = strings.TrimPrefix(key, "nova/")
			if strings.HasSuffix(key, "/"+backup.SummaryName) {
				continue
			}
			if diff := cmp.Diff(first.get(key), copied.get(key)); diff != "" {
				t.Errorf("%s differs", key)
			}
		}
		if d := o.result.Databases[0]; d.Copied != 1 || d.LastCopied == nil || d.CopyFailed != "" {
			t.Errorf("result %+v", d)
		}
	})
	t.Run("list, verify and restore work with the first store gone", func(t *testing.T) {
		gone := first.withoutFirst()
		if listed := gone.backups("--from-copy"); len(listed) != 1 || listed[0].Backup != id || listed[0].Condition != "" {
			t.Errorf("got %+v", listed)
		}
		gone.must("verify", "--from-copy", "--deep")
		gone.must("restore", "--from-copy", "--database", database, "--to", database+"_copy")
		first.same(database, database+"_copy")
		gone.must("check", "--from-copy", "--database", database, "--to", database+"_copy")
	})
	t.Run("the verdict and the evidence of a drill follow with the next run", func(t *testing.T) {
		first.must("drill")
		first.must("run", "--databases", database)
		listed := first.withoutFirst().backups("--from-copy")
		if len(listed) != 2 || listed[1].Verified == nil {
			t.Errorf("got %+v", listed)
		}
		if content := copied.get(backup.EscapeDatabase(database) + "/evidence/00000001.json"); !strings.Contains(content, id) {
			t.Errorf("got %s", content)
		}
	})
	t.Run("what is no record keeps no record from the copy", func(t *testing.T) {
		folder := backup.EscapeDatabase(database) + "/evidence/"
		first.put(folder+"00000000.json", strings.Repeat("x", 5<<20))
		first.fails(backupapi.CategoryVerify, "drill") // it is told, and the chain goes on
		first.fails(backupapi.CategoryCopy, "run", "--databases", database)
		if content := copied.get(folder + "00000002.json"); !strings.Contains(content, database) {
			t.Errorf("got %s", content)
		}
	})
}

// Each store keeps what its own retention says.
func TestCopy_Retention(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, `CREATE TABLE t AS SELECT generate_series(1, 100) AS n`)
	b.must("run", "--databases", database)
	old := b.copyTo(database, b.backups()[0].Backup, time.Now().AddDate(0, 0, -40), nil)
	first, _ := b.copying(pgtest.NewS3(t))
	steps := []struct {
		name          string
		env           []string
		first, copied bool // holds the old backup after the run
	}{
		{"both keep it for 100 days", []string{"RETENTION_DAYS", "100"}, true, true},
		{"the copy keeps it for longer", []string{"KEEP_MINIMUM", "1", "COPY_RETENTION_DAYS", "100"}, false, true},
		{"the copy deletes it by its own retention", []string{"KEEP_MINIMUM", "1", "COPY_RETENTION_DAYS", "30"}, false, false},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			first.with(step.env...).must("run", "--databases", database)
			holds := func(all []listed) bool {
				return slices.ContainsFunc(all, func(l listed) bool { return l.Backup == old })
			}
			if got, copied := holds(first.backups()), holds(first.backups("--from-copy")); got != step.first || copied != step.copied {
				t.Errorf("first %v, copy %v", got, copied)
			}
		})
	}
}

// What fails on the way to the second store leaves the backup a success, is counted,
// and is made good by the next run.
func TestCopy_Faults(t *testing.T) {
	second := pgtest.NewS3(t)
	isObject := func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "base") && !r.URL.Query().Has("uploads")
	}
	cases := map[string]struct {
		fault pgtest.Fault
		want  string
	}{
		"the store refuses everything": {pgtest.Refuse(http.StatusForbidden, "AccessDenied"), "AccessDenied"},
		"what arrived reads otherwise": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !isObject(r) {
				return false
			}
			w.Header().Set("ETag", `"x"`)
			_, _ = w.Write([]byte("other bytes"))
			return true
		}, "the copy is not what its manifest says"},
		"the manifest cannot be written": {func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, backup.ManifestName) && pgtest.Refuse(http.StatusForbidden, "AccessDenied")(w, r)
		}, "commit the copy"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newEnvironment(t)
			database := b.pg.Database(t, `CREATE TABLE t AS SELECT generate_series(1, 100) AS n`)
			proxy := pgtest.NewProxy(t, second.Endpoint)
			proxy.Add(c.fault)
			first, _ := b.copying(second)
			broken := first.with("COPY_S3_ENDPOINT", proxy.Endpoint)
			o := broken.run("run", "--databases", database)
			b.failed(o, backupapi.CategoryCopy)
			d := o.result.Databases[0]
			if d.Category != backupapi.CategorySucceeded || !strings.Contains(d.CopyFailed, c.want) || d.Copied != 0 {
				t.Errorf("result %+v", d)
			}
			if !strings.Contains(o.stdout, "CopyFailure") {
				t.Errorf("no metric:\n%s", o.stdout)
			}
			if listed := first.backups("--from-copy"); len(listed) != 0 {
				t.Errorf("listed as copied: %+v", listed)
			}
			o = first.must("run", "--databases", database)
			if d := o.result.Databases[0]; d.Copied != 2 || len(first.backups("--from-copy")) != 2 {
				t.Errorf("result %+v", d)
			}
			first.withoutFirst().must("verify", "--from-copy")
		})
	}
}

func TestCopy_DamagedOriginal(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, `CREATE TABLE t AS SELECT generate_series(1, 100) AS n`)
	b.must("run", "--databases", database)
	id := b.backups()[0].Backup
	keepManifest(replaceObject(backup.StreamBase, false))(t, b, database, id)
	first, _ := b.copying(pgtest.NewS3(t))
	o := first.run("run", "--databases", database)
	b.failed(o, backupapi.CategoryCopy)
	if d := o.result.Databases[0]; d.Copied != 1 || !strings.Contains(d.CopyFailed, id) || !strings.Contains(d.CopyFailed, "original") {
		t.Errorf("result %+v", d)
	}
	if listed := first.backups("--from-copy"); len(listed) != 1 || listed[0].Backup == id {
		t.Errorf("the damaged one is listed: %+v", listed)
	}
}

func TestCopy_DryRun(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, `CREATE TABLE t AS SELECT generate_series(1, 100) AS n`)
	first, copied := b.copying(pgtest.NewS3(t))
	o := first.must("run", "--dry-run", "--databases", database)
	for _, want := range []string{"bucket versioning", "bucket public access", "second store: write to s3://" + copied.bucket, "second store: bucket object lock"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("nothing is said of %q:\n%s", want, o.stdout)
		}
	}
	copied.nothingLeft()
	first.with("COPY_BUCKET", "s3://no-such-bucket/x").fails(backupapi.CategoryStore, "run", "--dry-run", "--databases", database)
}

func TestCopy_Settings(t *testing.T) {
	b := newEnvironment(t)
	cases := map[string][]string{
		"the first store itself is no second one":  {"COPY_BUCKET", b.env["S3_BUCKET"]},
		"a bucket without a scheme is refused":     {"COPY_BUCKET", "bucket"},
		"a retention that is no number is refused": {"COPY_BUCKET", "s3://other/x", "COPY_RETENTION_DAYS", "soon"},
	}
	for name, env := range cases {
		t.Run(name, func(t *testing.T) { b.with(env...).fails(backupapi.CategoryUsage, "run") })
	}
	t.Run("--from-copy needs a second store", func(t *testing.T) { b.fails(backupapi.CategoryUsage, "list", "--from-copy") })
	t.Run("credentials of the copy are its own", func(t *testing.T) {
		first := func(name string) string {
			if strings.HasPrefix(name, backupapi.CopyPrefix) {
				return ""
			}
			return "first's"
		}
		s := settings{values: map[string]string{backupapi.EnvCopyCredentials: "/f"}, getenv: first}
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
			if got := s.copySetting(name); got != "" {
				t.Errorf("%s: %q", name, got)
			}
		}
		if got := s.copySetting("AWS_SHARED_CREDENTIALS_FILE"); got != "/f" {
			t.Errorf("file %q", got)
		}
	})
}
