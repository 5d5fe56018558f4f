package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/backup/store/s3"
	"github.com/nova/novawire/internal/aws/credentials"
	"github.com/nova/novawire/internal/testing/bench"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// benchRounds: a side takes half a minute, so few, in turns; the best of each
// side is compared, because what disturbs only ever adds.
const benchRounds = 3

// BenchmarkBackup measures pg-backup beside what people do without it, on the
// same server, bucket and database: one table of 5 million rows with jsonb and
// two indexes, and 40 tables of 120,000 rows; 1.8 GB.
func BenchmarkBackup(b *testing.B) {
	if !slices.ContainsFunc([]string{"backup/run-custom", "backup/run-directory", "backup/restore"}, bench.Selected) {
		b.Skip("run it with: make bench BENCH=backup")
	}
	w := newWorkshop(b)
	w.fill("bench", 5_000_000, 40, 120_000)
	var run, custom, directory, restore, single time.Duration
	for round := range benchRounds {
		least(&run, w.timed(func() { w.program(nil, "run", "--databases", "bench") }))
		if bench.Selected("backup/run-custom") || bench.Selected("backup/restore") {
			least(&custom, w.timed(func() { w.dumpCustom("bench") }))
		}
		if bench.Selected("backup/run-directory") {
			least(&directory, w.timed(func() { w.dumpDirectory("bench") }))
		}
		if bench.Selected("backup/restore") && round < 2 {
			least(&restore, w.timed(func() { w.program(nil, "restore", "--database", "bench", "--to", "ours") }))
			w.drop("ours")
			least(&single, w.timed(func() { w.restoreCustom("bench", "peer") }))
			w.drop("peer")
		}
	}
	for name, peer := range map[string]time.Duration{"backup/run-custom": custom, "backup/run-directory": directory} {
		w.line(name, run, peer)
	}
	w.line("backup/restore", restore, single)
}

// BenchmarkGiant measures a run of a database that is one table, of 5 million rows with
// jsonb, beside pg_dump -Fc.
func BenchmarkGiant(b *testing.B) {
	bench.Skip(b, "backup/run-giant")
	w := newWorkshop(b)
	w.fill("giant", 5_000_000, 0, 0)
	var run, custom time.Duration
	for range benchRounds {
		least(&run, w.timed(func() { w.program(nil, "run", "--databases", "giant") }))
		least(&custom, w.timed(func() { w.dumpCustom("giant") }))
	}
	w.line("backup/run-giant", run, custom)
}

// BenchmarkMemory measures the program's peak memory on 1 GB and on 4 GB; the "peer" is
// the smaller database. Buffers are made when they are first needed, which chance decides
// at 1 GB: one of the two varies by 30 MiB from run to run. What holds is the bound that
// the program sets itself, which knows no size.
func BenchmarkMemory(b *testing.B) {
	bench.Skip(b, "backup/memory")
	w := newWorkshop(b)
	peak := func(name string, rows int) (kilobytes int64) {
		w.fill(name, rows, 4, rows/16)
		w.program(func(state *os.ProcessState) { kilobytes = state.SysUsage().(*syscall.Rusage).Maxrss }, "run", "--databases", name)
		w.drop(name)
		return kilobytes
	}
	small, large := peak("small", 2_700_000), peak("large", 10_800_000)
	bench.Line("backup/memory", fmt.Sprintf("%dMiB(4GB)", large>>10), fmt.Sprintf("%dMiB(1GB)", small>>10), float64(small)/float64(large))
	if limit := dump.Memory(2, dump.DefaultLayout); max(small, large)<<10 > limit {
		b.Errorf("peak memory: %d MiB on 4 GB, %d MiB on 1 GB; the bound is %d MiB", large>>10, small>>10, limit>>20)
	}
}

// workshop is a server, a bucket and the ways to use them.
type workshop struct {
	b     *testing.B
	pg    *pgtest.Postgres
	store *s3.Store
	env   []string
}

func newWorkshop(b *testing.B) *workshop {
	b.Helper()
	pg := pgtest.NewPostgres(b, "shared_buffers=512MB", "max_wal_size=4GB")
	server := pgtest.SharedS3(b)
	bucket := server.Bucket(b)
	keys := map[string]string{"AWS_ACCESS_KEY_ID": pgtest.AccessKey, "AWS_SECRET_ACCESS_KEY": pgtest.SecretKey}
	provider, err := credentials.Find(func(name string) string { return keys[name] }, credentials.Options{Region: pgtest.Region})
	if err != nil {
		b.Fatal(err)
	}
	return &workshop{
		b: b, pg: pg,
		store: s3.New(s3.Settings{Bucket: bucket, Prefix: "peer", Region: pgtest.Region, Endpoint: server.Endpoint, Credentials: provider}),
		env: []string{
			beProgram + "=1", "DATABASE_URL=" + pg.URL(""), "S3_BUCKET=s3://" + bucket + "/ours", "S3_ENDPOINT=" + server.Endpoint, "AWS_REGION=" + pgtest.Region,
			"AWS_ACCESS_KEY_ID=" + pgtest.AccessKey, "AWS_SECRET_ACCESS_KEY=" + pgtest.SecretKey, "PG_BIN_DIR=" + pg.Folder, "PARALLELISM=2", "CLOUDWATCH_NAMESPACE=none",
		},
	}
}

func (w *workshop) fill(name string, rows, tables, each int) {
	w.b.Helper()
	w.pg.Exec(w.b, "postgres", "CREATE DATABASE "+name)
	w.pg.Exec(w.b, name,
		`CREATE TABLE events (id bigint, at timestamptz, kind text, body jsonb)`,
		fmt.Sprintf(`INSERT INTO events SELECT i, '2026-01-01'::timestamptz + i * interval '1 second', 'kind' || i %% 50,
			jsonb_build_object('user', md5((i %% 100000)::text), 'n', i, 'tags', jsonb_build_array('a' || i %% 7, 'b' || i %% 11), 'text', md5(i::text) || md5((i + 1)::text)) FROM generate_series(1, %d) i`, rows),
		`ALTER TABLE events ADD PRIMARY KEY (id)`, `CREATE INDEX ON events (kind, at)`)
	for i := range tables {
		w.pg.Exec(w.b, name, fmt.Sprintf(`CREATE TABLE t%d AS SELECT i AS id, md5(i::text) AS name, i %% 1000 AS score, now() AS at FROM generate_series(1, %d) i`, i, each),
			fmt.Sprintf(`ALTER TABLE t%d ADD PRIMARY KEY (id)`, i))
	}
	w.pg.Exec(w.b, name, "VACUUM ANALYZE", "CHECKPOINT")
}

func (w *workshop) drop(name string) {
	w.pg.Exec(w.b, "postgres", "DROP DATABASE "+name+" WITH (FORCE)", "CHECKPOINT")
}

func (w *workshop) timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func least(best *time.Duration, d time.Duration) {
	if *best == 0 || d < *best {
		*best = d
	}
}

func (w *workshop) line(name string, ours, peer time.Duration) {
	if bench.Selected(name) && peer > 0 && ours > 0 {
		bench.Line(name, ours.Round(10*time.Millisecond).String(), peer.Round(10*time.Millisecond).String(), float64(peer)/float64(ours))
	}
}

// program runs pg-backup as a process of its own.
func (w *workshop) program(look func(*os.ProcessState), args ...string) {
	w.b.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.b.Fatalf("pg-backup %v: %v: %s", args, err, out)
	}
	if look != nil {
		look(cmd.ProcessState)
	}
}

func (w *workshop) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(w.pg.Folder, program), append([]string{"-h", "127.0.0.1", "-p", w.pg.Port, "-U", pgtest.Superuser}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// dumpCustom is `pg_dump -Fc | upload`.
func (w *workshop) dumpCustom(database string) {
	w.b.Helper()
	cmd := w.command("pg_dump", "-Fc", "-d", database)
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start(), w.upload("custom", out), cmd.Wait()); err != nil {
		w.b.Fatal(err)
	}
}

// dumpDirectory is `pg_dump -Fd -j2`, and then each file uploaded, two at a time.
func (w *workshop) dumpDirectory(database string) {
	w.b.Helper()
	dir := filepath.Join(w.b.TempDir(), "dump")
	if out, err := w.command("pg_dump", "-Fd", "-j2", "-f", dir, "-d", database).Output(); err != nil {
		w.b.Fatalf("%v: %s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		w.b.Fatal(err)
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, 2)
	for _, f := range files {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			file, err := os.Open(filepath.Join(dir, f.Name()))
			if err == nil {
				err = errors.Join(w.upload("directory/"+f.Name(), file), file.Close())
			}
			if err != nil {
				w.b.Error(err)
			}
		})
	}
	all.Wait()
	_ = os.RemoveAll(dir)
}

// upload sends parts of 16 MiB, two at a time, as pg-backup does.
func (w *workshop) upload(key string, from io.Reader) error {
	ctx := context.Background()
	u, err := w.store.Begin(ctx, key)
	if err != nil {
		return err
	}
	var flying sync.WaitGroup
	slots := make(chan struct{}, 2)
	errs := make(chan error, 10000)
	for number := 1; ; number++ {
		part, err := io.ReadAll(io.LimitReader(from, 16<<20))
		if err != nil {
			return err
		}
		if len(part) == 0 && number > 1 {
			break
		}
		slots <- struct{}{}
		flying.Go(func() {
			defer func() { <-slots }()
			errs <- u.Part(ctx, number, part)
		})
		if len(part) < 16<<20 {
			break
		}
	}
	flying.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return u.Complete(ctx)
}

// restoreCustom is `download | pg_restore`, the archive of dumpCustom.
func (w *workshop) restoreCustom(_, into string) {
	w.b.Helper()
	w.pg.Exec(w.b, "postgres", "CREATE DATABASE "+into+" TEMPLATE template0")
	from, err := w.store.Open(context.Background(), "custom")
	if err != nil {
		w.b.Fatal(err)
	}
	defer from.Close()
	var complaints bytes.Buffer
	cmd := w.command("pg_restore", "-d", into)
	cmd.Stdin, cmd.Stderr = from, &complaints
	if err := cmd.Run(); err != nil {
		w.b.Fatalf("%v: %s", err, strings.TrimSpace(complaints.String()))
	}
}
