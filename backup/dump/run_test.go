package dump_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/backup/retention"
	"github.com/nova/novawire/backup/store/s3"
	"github.com/nova/novawire/backup/verify"
	"github.com/nova/novawire/internal/aws/credentials"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func newRunner(t *testing.T, source backup.Source, endpoint string) *dump.Runner {
	t.Helper()
	server := pgtest.SharedS3(t)
	env := map[string]string{"AWS_ACCESS_KEY_ID": pgtest.AccessKey, "AWS_SECRET_ACCESS_KEY": pgtest.SecretKey}
	provider, err := credentials.Find(func(name string) string { return env[name] }, credentials.Options{Region: pgtest.Region})
	if err != nil {
		t.Fatal(err)
	}
	return &dump.Runner{
		Source: source,
		Store:  s3.New(s3.Settings{Bucket: server.Bucket(t), Region: pgtest.Region, Endpoint: endpoint, Credentials: provider}),
		Now:    time.Now, Random: rand.Uint32, Log: slog.New(slog.DiscardHandler), Observer: backup.NoObserver{}, Progress: &backup.Progress{},
		Streams: 2, Layout: dump.DefaultLayout, Policy: retention.Policy{Days: 7, KeepMinimum: 3},
	}
}

func newSource(t *testing.T, pg *pgtest.Postgres, folders ...string) *postgres.Source {
	t.Helper()
	address, err := postgres.ParseAddress(pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	return &postgres.Source{Address: address, Folders: append(folders, pg.Folder), LockWait: time.Second}
}

// dropping finds databases of which one is gone when its turn comes.
type dropping struct {
	backup.Source
	drop func()
}

func (d dropping) Databases(ctx context.Context) (names, leftOut []string, err error) {
	names, leftOut, err = d.Source.Databases(ctx)
	d.drop()
	return names, leftOut, err
}

func TestRun_DatabaseIsDropped(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	pg.Exec(t, "postgres", "CREATE DATABASE aaa_gone", "CREATE DATABASE stays")
	source := dropping{newSource(t, pg), func() { pg.Exec(t, "postgres", "DROP DATABASE aaa_gone") }}
	r := newRunner(t, source, pgtest.SharedS3(t).Endpoint)
	results, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, result := range results {
		names = append(names, result.Name)
	}
	if !slices.Equal(names, []string{"postgres", "stays"}) {
		t.Errorf("backed up %v", names)
	}
	r.Databases = []string{"aaa_gone"} // but one that was asked for by name is
	if _, err := r.Run(t.Context()); backup.Category(t.Context(), err) != backupapi.CategorySource {
		t.Errorf("got %v", err)
	}
}

// A store that takes five parts an object, and wants them of one size.
func TestRun_StoreWithFewParts(t *testing.T) {
	server := pgtest.SharedS3(t)
	proxy := pgtest.NewProxy(t, server.Endpoint)
	proxy.Add(pgtest.PartLimit(5))
	pg := pgtest.SharedPostgres(t)
	database := pg.Database(t, `CREATE TABLE noise (v text)`,
		`INSERT INTO noise SELECT (SELECT string_agg(md5(random()::text || i || j), '') FROM generate_series(1, 32) j) FROM generate_series(1, 100000) i`)
	r := newRunner(t, newSource(t, pg), proxy.Endpoint)
	r.Databases, r.Layout = []string{database}, dump.Layout{PartSize: 5 << 20, PartsPerObject: 5, ConcurrentParts: 2}
	results, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	objects := len(proxy.Parts)
	if objects < 2 {
		t.Errorf("%d objects: the stream was too short to be rolled", objects)
	}
	for key, sizes := range proxy.Parts {
		slices.Sort(sizes)
		for _, size := range sizes[1:] {
			if size != 5<<20 {
				t.Errorf("%s: parts of %v", key, sizes)
			}
		}
	}
	m, err := backup.ReadManifest(t.Context(), r.Store, database, results[0].Backup)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (verify.Verifier{Store: r.Store, Progress: &backup.Progress{}}).Verify(t.Context(), m); err != nil {
		t.Error(err)
	}
}

// A standby cancels what holds its recovery up; a new snapshot may do better.
func TestRun_RecoveryConflict(t *testing.T) {
	pg := pgtest.SharedPostgres(t)
	database := pg.Database(t, "CREATE TABLE t (a int)")
	for name, failures := range map[string]string{"once": "1", "always": "9"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script := "#!/bin/bash\nREAL=" + filepath.Join(pg.Folder, "pg_dump") + `
[ "$1" = --version ] && exec "$REAL" --version
n=$(cat "` + dir + `/n" 2>/dev/null || echo 0)
[ "$n" -ge ` + failures + ` ] && exec "$REAL" "$@"
echo $((n+1)) > "` + dir + `/n"
echo 'pg_dump: error: ERROR:  canceling statement due to conflict with recovery' >&2
exit 1
`
			for program, content := range map[string]string{"pg_dump": script, "pg_dumpall": "#!/bin/sh\nexec " + filepath.Join(pg.Folder, "pg_dumpall") + ` "$@"` + "\n"} {
				if err := os.WriteFile(filepath.Join(dir, program), []byte(content), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			r := newRunner(t, newSource(t, pg, dir), pgtest.SharedS3(t).Endpoint)
			r.Databases = []string{database}
			results, err := r.Run(t.Context())
			if name == "once" && err != nil {
				t.Error(err)
			}
			if name == "always" && (!errors.Is(err, backup.ErrConflict) || results[0].Backup != "" || !strings.Contains(results[0].Message, "recovery")) {
				t.Errorf("got %v, %+v", err, results)
			}
		})
	}
}
