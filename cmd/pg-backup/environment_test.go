package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(peakFile); path != "" {
		p := program{getenv: os.Getenv, now: time.Now, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
		code := p.run(context.Background(), os.Args[1:])
		if status, err := os.ReadFile("/proc/self/status"); err != nil || os.WriteFile(path, status, 0o600) != nil {
			code = 1
		}
		os.Exit(code)
	}
	if os.Getenv(beProgram) != "" {
		main()
		return
	}
	if os.Getenv(beAWS) != "" {
		if err := awsGet(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	for variable, program := range map[string]func([]string) error{beAWSTool: awsTool, beAge: ageTool} {
		if os.Getenv(variable) != "" {
			if err := program(os.Args[1:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	pgtest.Main(m)
}

// beProgram makes the test's own binary the program, for tests that kill it.
const beProgram = "PG_BACKUP_TEST_BE_PROGRAM"

// peakFile makes it the program too, which then writes its /proc/self/status to the
// file. (The kernel's rusage of a child includes the peak of its parent.)
const peakFile = "PG_BACKUP_TEST_PEAK_FILE"

// environment is a PostgreSQL server, a bucket, and a program between them.
type environment struct {
	t      *testing.T
	pg     *pgtest.Postgres
	s3     *pgtest.S3
	bucket string
	env    map[string]string
	now    func() time.Time
}

// newEnvironment uses the shared servers and a bucket of its own.
func newEnvironment(t *testing.T) *environment {
	t.Helper()
	return environmentOn(t, pgtest.SharedPostgres(t))
}

func environmentOn(t *testing.T, pg *pgtest.Postgres) *environment {
	t.Helper()
	s3 := pgtest.SharedS3(t)
	b := &environment{t: t, pg: pg, s3: s3, bucket: s3.Bucket(t), now: time.Now}
	termination := filepath.Join(t.TempDir(), "termination")
	if err := os.WriteFile(termination, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.env = map[string]string{
		"DATABASE_URL": pg.URL(""), "S3_BUCKET": "s3://" + b.bucket + "/nova", "S3_ENDPOINT": s3.Endpoint, "AWS_REGION": pgtest.Region,
		"AWS_ACCESS_KEY_ID": pgtest.AccessKey, "AWS_SECRET_ACCESS_KEY": pgtest.SecretKey,
		"PG_BIN_DIR": pg.Folder, "TERMINATION_MESSAGE_PATH": termination, "LOG_LEVEL": "debug",
	}
	return b
}

// with returns an environment with other variables; "" unsets one.
func (b *environment) with(pairs ...string) *environment {
	other := *b
	other.env = maps.Clone(b.env)
	for i := 0; i < len(pairs); i += 2 {
		other.env[pairs[i]] = pairs[i+1]
	}
	return &other
}

// at returns an environment whose clock is some time ahead.
func (b *environment) at(ahead time.Duration) *environment {
	other := *b
	other.now = func() time.Time { return time.Now().Add(ahead) }
	return &other
}

// outcome is how one command line ended.
type outcome struct {
	code           int
	stdout, stderr string
	result         backupapi.Result
}

// run executes one command line in this process.
func (b *environment) run(args ...string) outcome { return b.runContext(b.t.Context(), args...) }

func (b *environment) runContext(ctx context.Context, args ...string) outcome {
	b.t.Helper()
	var stdout, stderr lockedBuffer
	p := program{getenv: func(name string) string { return b.env[name] }, now: b.now, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	o := outcome{code: p.run(ctx, args)}
	o.stdout, o.stderr = stdout.String(), stderr.String()
	if message, err := os.ReadFile(b.env["TERMINATION_MESSAGE_PATH"]); err == nil && len(message) > 0 {
		if o.result, err = backupapi.ParseResult(message); err != nil {
			b.t.Error(err)
		}
	}
	return o
}

// must runs a command line that has to succeed.
func (b *environment) must(args ...string) outcome {
	b.t.Helper()
	o := b.run(args...)
	if o.code != 0 {
		b.t.Fatalf("pg-backup %s: exit %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o
}

// fails runs a command line that has to fail in one way.
func (b *environment) fails(want backupapi.Category, args ...string) outcome {
	b.t.Helper()
	o := b.run(args...)
	b.failed(o, want)
	return o
}

func (b *environment) failed(o outcome, want backupapi.Category) {
	b.t.Helper()
	if o.code != want.ExitCode() || o.result.Category != want {
		b.t.Fatalf("exit %d, category %q; want %q\n%s", o.code, o.result.Category, want, o.stderr)
	}
}

// backups lists the backups.
func (b *environment) backups(args ...string) (all []listed) {
	b.t.Helper()
	o := b.must(append([]string{"list", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(o.stdout), &all); err != nil {
		b.t.Fatalf("%v: %s", err, o.stdout)
	}
	return all
}

// nothingLeft asserts that no backup is visible and nothing of one is in the bucket.
func (b *environment) nothingLeft() {
	b.t.Helper()
	if keys := b.s3.Keys(b.t, b.bucket); len(keys) > 0 {
		b.t.Errorf("left in the bucket: %v", keys)
	}
	b.noUploads()
}

func (b *environment) noUploads() {
	b.t.Helper()
	if n := b.s3.OpenUploads(b.t, b.bucket); n > 0 {
		b.t.Errorf("%d uploads were left open", n)
	}
}

// same asserts that two databases hold the same, by dumping both as SQL.
func (b *environment) same(one, two string) {
	b.t.Helper()
	if a, c := sortedDump(b.t, b.pg, one), sortedDump(b.t, b.pg, two); a != c {
		b.t.Errorf("%s and %s differ:\n%s", one, two, firstDifference(a, c))
	}
}

func firstDifference(a, c string) string {
	left, right := strings.Split(a, "\n"), strings.Split(c, "\n")
	for i := range left {
		if i >= len(right) || left[i] != right[i] {
			return fmt.Sprintf("line %d\n- %.300s\n+ %.300s", i, left[i], strings.Join(right[min(i, len(right)):min(i+1, len(right))], ""))
		}
	}
	return fmt.Sprintf("%d and %d lines", len(left), len(right))
}

// lockedBuffer is written to by a program and its goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
