package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// largestProgram bounds the program, in bytes: each backup's pod copies it.
const largestProgram = 16_750_000

func TestProgram_SizeAndDependencies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pg-backup")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > largestProgram {
		t.Errorf("%d bytes, the limit is %d", info.Size(), largestProgram)
	}
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(deps)) {
		for _, not := range []string{"k8s.io/", "sigs.k8s.io/", "go.opentelemetry.io/"} {
			if strings.HasPrefix(dep, not) {
				t.Errorf("links %s", dep)
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	b := newEnvironment(t)
	cases := map[string]struct {
		env  []string
		args []string
	}{
		"an unknown verb":      {nil, []string{"dump"}},
		"an unknown flag":      {nil, []string{"run", "--colour"}},
		"no bucket":            {[]string{"S3_BUCKET", ""}, []string{"run"}},
		"no server":            {[]string{"DATABASE_URL", ""}, []string{"run"}},
		"an invalid URL":       {[]string{"DATABASE_URL", "postgres://h/db?sslmod=require"}, []string{"run"}},
		"a bad retention":      {nil, []string{"run", "--retention-days", "soon"}},
		"a file that is not":   {[]string{"ENCRYPTION_RECIPIENTS_FILE", "/nonexistent"}, []string{"run"}},
		"recipients in prose":  {[]string{"ENCRYPTION_RECIPIENTS_FILE", write(t, "r", "not a recipient")}, []string{"run"}},
		"a backup that is not": {nil, []string{"restore", "--database", "none"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if o := b.with(c.env...).run(c.args...); o.code != 64 || o.stderr == "" {
				t.Errorf("exit %d, stderr %q", o.code, o.stderr)
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	b := newEnvironment(t)
	if o := b.must("--version"); !strings.Contains(o.stdout, "pg-backup version") {
		t.Errorf("got %q", o.stdout)
	}
	o := b.must("run", "--help")
	for _, want := range []string{"--keep-minimum", "$KEEP_MINIMUM", "124", "lock-held"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("help does not say %s", want)
		}
	}
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	newEnvironment(t).must("install", dir)
	info, err := os.Stat(filepath.Join(dir, "pg-backup"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
	if passwd, err := os.ReadFile(filepath.Join(dir, "passwd")); err != nil || !bytes.HasPrefix(passwd, []byte("root:")) {
		t.Errorf("%q %v", passwd, err)
	}
	if o := newEnvironment(t).run("install", "/nonexistent/dir"); o.code != backupapi.CategoryUsage.ExitCode() || !strings.Contains(o.stderr, `\"/nonexistent/dir\" is not a folder`) {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}

func TestInstall_UserWithoutEntry(t *testing.T) {
	passwd := []byte("root:x:0:0:root:/root:/bin/bash")
	if got := withUser(passwd, 0, 0); !bytes.Equal(got, passwd) {
		t.Errorf("root twice: %s", got)
	}
	if got := string(withUser(passwd, 65532, 65531)); !strings.HasSuffix(got, "/bin/bash\npg-backup:x:65532:65531:pg-backup:/nonexistent:/usr/sbin/nologin\n") {
		t.Errorf("got %s", got)
	}
}

func TestRun_DryRun_ChangesNothing(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, social...)
	o := b.must("run", "--dry-run", "--databases", database)
	for _, want := range []string{"take and export a snapshot", "refuse to overwrite", "upload in parts", "size", "time", "memory", "prune", "lock every table"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("nothing is said of %q:\n%s", want, o.stdout)
		}
	}
	if !o.result.DryRun || strings.Contains(o.stdout, "BAD") {
		t.Errorf("result %+v\n%s", o.result, o.stdout)
	}
	b.nothingLeft()
	b.must("run", "--databases", database)
	b.must("run", "--dry-run", "--databases", database)

	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	proxy.Add(pgtest.Refuse(403, "AccessDenied"))
	b.with("S3_ENDPOINT", proxy.Endpoint).fails(backupapi.CategoryPermission, "run", "--dry-run", "--databases", database)
	b.at(30*day).fails(backupapi.CategoryRefused, "run", "--dry-run", "--databases", database)
}

func TestRun_Anomalies(t *testing.T) {
	b := newEnvironment(t)
	database := b.pg.Database(t, social...)
	b.must("run", "--databases", database)
	b.pg.Exec(t, database, "DROP MATERIALIZED VIEW counts", "DELETE FROM posts WHERE id > 100", "CREATE TABLE fine (a int)")
	b.pg.Exec(t, database, "ALTER TABLE auth.users RENAME TO members")
	o := b.must("run", "--databases", database)
	if o.result.Databases[0].Anomalies != 2 {
		t.Errorf("%d anomalies\n%s", o.result.Databases[0].Anomalies, o.stderr)
	}
	if got := b.backups(); len(got) != 2 || len(got[0].Anomalies) != 2 || got[0].Problem != "" {
		t.Errorf("listed %+v", got)
	}
	if o := b.must("list"); !strings.Contains(o.stdout, "2 anomalies") || !strings.Contains(o.stdout, "never") {
		t.Errorf("table:\n%s", o.stdout)
	}
}

func TestRun_MemoryLimit(t *testing.T) {
	one := dump.Memory(1, dump.DefaultLayout)
	for name, c := range map[string]struct {
		limit int64
		want  int
	}{"no limit": {0, 4}, "enough": {one * 5, 4}, "for one": {one, 1}, "for none": {1 << 20, 1}} {
		if got := dump.FitStreams(4, dump.DefaultLayout, c.limit); got != c.want {
			t.Errorf("%s: %d streams, want %d", name, got, c.want)
		}
	}
	if at2 := dump.Memory(2, dump.DefaultLayout); at2 > 256<<20 {
		t.Errorf("two streams may take %d MiB", at2>>20)
	}
}
