package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// large is a database whose dump is longer than everything that buffers hold, so
// that a stopped upload stops pg_dump in the middle.
var large = []string{
	`CREATE TABLE big (id int, noise text)`,
	`INSERT INTO big SELECT i, (SELECT string_agg(md5(random()::text || i || j), '') FROM generate_series(1, 32) j) FROM generate_series(1, 130000) i`,
	`CREATE TABLE small (id int)`,
}

var largeOnce sync.Once

// largeDatabase is shared: tests only read it.
func largeDatabase(t *testing.T) string {
	t.Helper()
	pg := pgtest.SharedPostgres(t)
	largeOnce.Do(func() {
		pg.Exec(t, "postgres", "CREATE DATABASE large_shared")
		pg.Exec(t, "large_shared", large...)
	})
	return "large_shared"
}

// stopped starts a run that stands still in the middle of its upload.
func (b *environment) stopped(ctx context.Context, args ...string) (ended <-chan outcome, open func()) {
	b.t.Helper()
	proxy := pgtest.NewProxy(b.t, b.s3.Endpoint)
	gate, came, open := pgtest.Gate(pgtest.IsPart)
	proxy.Add(gate)
	b.t.Cleanup(open)
	done := make(chan outcome, 1)
	other := b.with("S3_ENDPOINT", proxy.Endpoint)
	go func() { done <- other.runContext(ctx, args...) }()
	select {
	case <-came:
	case o := <-done:
		b.t.Fatalf("it ended before it uploaded anything: %d\n%s", o.code, o.stderr)
	}
	return done, open
}

func TestRun_ServerIsKilled(t *testing.T) {
	b := environmentOn(t, pgtest.NewPostgres(t))
	b.pg.Exec(t, "postgres", large...)
	ended, open := b.stopped(t.Context(), "run", "--databases", "postgres")
	b.pg.Kill()
	open()
	b.failed(<-ended, backupapi.CategorySource)
	b.nothingLeft()
}

func TestRun_BackendIsTerminated(t *testing.T) {
	b := newEnvironment(t)
	for name, which := range map[string]string{
		"a dump's backend":          `query LIKE 'COPY public.big%'`,
		"the snapshot's connection": `state = 'idle in transaction' AND application_name = 'pg-backup' AND query LIKE '%pg_table_size%'`,
	} {
		t.Run(name, func(t *testing.T) {
			database := largeDatabase(t)
			ended, open := b.stopped(t.Context(), "run", "--databases", database)
			killed := b.pg.Value(t, database, `SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND `+which)
			open()
			if killed != "1" {
				t.Fatalf("%s backends were killed, want 1", killed)
			}
			b.failed(<-ended, backupapi.CategorySource)
			b.nothingLeft()
		})
	}
}

// An exit status decides, not what is on stderr.
func TestRun_DumpFails(t *testing.T) {
	b := newEnvironment(t)
	source := b.pg.Database(t, social...)
	real := filepath.Join(b.pg.Folder, "pg_dump")
	cases := []struct {
		name, script string
		want         backupapi.Category
	}{
		{"writes everything, then fails", `"$REAL" "$@"; exit 1`, backupapi.CategorySource},
		{"is killed after its last byte", `"$REAL" "$@"; kill -9 $$`, backupapi.CategorySource},
		{"warns and ends well", `"$REAL" "$@"; status=$?; echo 'pg_dump: warning: there are circular foreign-key constraints' >&2; exit $status`, backupapi.CategorySucceeded},
		{"writes nothing and ends well", `exit 0`, backupapi.CategorySource},
		{"writes half and ends well", `"$REAL" "$@" | head -c 9000; exit 0`, backupapi.CategorySource},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			shims := shimmed(t, b.pg.Folder, "pg_dump", `REAL=`+real+"\n"+`[ "$1" = --version ] && exec "$REAL" --version`+"\n"+c.script)
			before := len(b.backups())
			o := b.with("PG_BIN_DIR", shims).run("run", "--databases", source)
			if o.result.Category != c.want {
				t.Fatalf("category %q, want %q\n%s", o.result.Category, c.want, o.stderr)
			}
			if c.want == backupapi.CategorySucceeded {
				if !strings.Contains(o.stderr, "circular foreign-key") {
					t.Error("the warning is not in the log")
				}
				before++
			}
			if after := len(b.backups()); after != before {
				t.Errorf("%d backups, want %d", after, before)
			}
			b.noUploads()
		})
	}
}

// shimmed is a folder with PostgreSQL's programs of which one is a script.
func shimmed(t *testing.T, folder, program, script string) string {
	t.Helper()
	dir := t.TempDir()
	programs, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.Name() != program {
			if err := os.Symlink(filepath.Join(folder, p.Name()), filepath.Join(dir, p.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/bash\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRun_SIGTERMDuringUpload(t *testing.T) {
	b := newEnvironment(t)
	database := largeDatabase(t)
	ctx, terminate := context.WithCancel(t.Context())
	ended, open := b.stopped(ctx, "run", "--databases", database)
	terminate()
	open()
	b.failed(<-ended, backupapi.CategoryInterrupted)
	b.nothingLeft()
}

func TestRun_Deadline(t *testing.T) {
	b := newEnvironment(t)
	database := largeDatabase(t)
	ctx, cancel := context.WithDeadlineCause(t.Context(), time.Now().Add(time.Second), context.DeadlineExceeded)
	defer cancel()
	ended, open := b.stopped(ctx, "run", "--databases", database)
	<-ctx.Done()
	open()
	b.failed(<-ended, backupapi.CategoryDeadline)
	b.nothingLeft()
}

func TestRun_StoreFailsForAWhile(t *testing.T) {
	b := newEnvironment(t)
	database := largeDatabase(t)
	firstTry := func(part string) func(*http.Request) bool {
		return func(r *http.Request) bool { return pgtest.IsPart(r) && r.URL.Query().Get("partNumber") == part }
	}
	manifest := func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifest.json")
	}
	faults := map[string]pgtest.Fault{
		"500 on the second part":            pgtest.Times(2, firstTry("2"), pgtest.Refuse(http.StatusInternalServerError, "InternalError")),
		"SlowDown on the first part":        pgtest.Times(2, firstTry("1"), pgtest.Refuse(http.StatusServiceUnavailable, "SlowDown")),
		"reset in the middle of a part":     pgtest.Times(2, firstTry("3"), pgtest.Reset(1<<20)),
		"a slow part":                       pgtest.Times(1, firstTry("2"), pgtest.Slow(500*time.Millisecond)),
		"503 on the manifest":               pgtest.Times(1, manifest, pgtest.Refuse(http.StatusServiceUnavailable, "SlowDown")),
		"conflict on the manifest's commit": pgtest.Times(1, manifest, pgtest.Refuse(http.StatusConflict, "ConditionalRequestConflict")),
	}
	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	for _, fault := range faults {
		proxy.Add(fault)
	}
	b.with("S3_ENDPOINT", proxy.Endpoint).must("run", "--databases", database)
	b.must("verify", "--database", database)
	b.noUploads()
}

func TestRun_StoreKeepsFailing(t *testing.T) {
	b := newEnvironment(t)
	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	proxy.Add(pgtest.Times(-1, func(r *http.Request) bool { return pgtest.IsPart(r) && r.URL.Query().Get("partNumber") == "2" }, pgtest.Refuse(http.StatusForbidden, "AccessDenied")))
	b.failed(b.with("S3_ENDPOINT", proxy.Endpoint).run("run", "--databases", largeDatabase(t)), backupapi.CategoryPermission)
	b.nothingLeft()
}

func TestRun_TokenExpires(t *testing.T) {
	b := newEnvironment(t)
	path := write(t, "credentials", "[default]\naws_access_key_id=OLD\naws_secret_access_key=old\n")
	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	refuse := pgtest.Refuse(http.StatusBadRequest, "ExpiredToken")
	renewed := false
	proxy.Add(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=OLD/") {
			return false
		}
		if !renewed { // meanwhile the Secret is refreshed
			renewed = true
			if err := os.WriteFile(path, []byte("[default]\naws_access_key_id="+pgtest.AccessKey+"\naws_secret_access_key="+pgtest.SecretKey+"\n"), 0o600); err != nil {
				t.Error(err)
			}
		}
		return refuse(w, r)
	})
	b.with("S3_ENDPOINT", proxy.Endpoint, "AWS_ACCESS_KEY_ID", "", "AWS_SHARED_CREDENTIALS_FILE", path).
		must("run", "--databases", b.pg.Database(t, social...))
	if !renewed {
		t.Error("the old credentials were never used: the test proves nothing")
	}
}

// A pod with a read-only root and no volume: nothing can be written to any file.
func TestRun_NoDisk(t *testing.T) {
	b := newEnvironment(t)
	cmd := exec.Command("bash", "-c", `ulimit -f 0; exec "$0" run --databases "$1"`, os.Args[0], largeDatabase(t))
	cmd.Env = b.process("TERMINATION_MESSAGE_PATH", "/nonexistent", "TMPDIR", "/nonexistent")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.must("verify")
}

// process is the environment that makes the test's binary the program.
func (b *environment) process(pairs ...string) (env []string) {
	for name, value := range b.with(pairs...).env {
		env = append(env, name+"="+value)
	}
	env = append(env, beProgram+"=1")
	slices.Sort(env)
	return env
}

func TestRun_SIGTERMExitCode(t *testing.T) {
	b := newEnvironment(t)
	proxy := pgtest.NewProxy(t, b.s3.Endpoint)
	gate, came, open := pgtest.Gate(pgtest.IsPart)
	proxy.Add(gate)
	defer open()
	cmd := exec.Command(os.Args[0], "run", "--databases", largeDatabase(t))
	cmd.Env = b.process("S3_ENDPOINT", proxy.Endpoint)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-came
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	open()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != backupapi.CategoryInterrupted.ExitCode() {
		t.Errorf("exit code %d", code)
	}
	b.nothingLeft()
}
