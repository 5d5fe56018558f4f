package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// orphan makes the objects that a killed run left behind three days ago, and returns its id.
func (b *environment) orphan(database string) string {
	b.t.Helper()
	id := backup.NewID(ago(3), 7)
	key := backup.Folder(database, id) + "base.00000"
	b.put(key, "x")
	if err := os.Chtimes(b.s3.Path(b.bucket, "nova/"+key), ago(3), ago(3)); err != nil {
		b.t.Fatal(err)
	}
	return id
}

// broken returns an environment whose pg_dump fails for some databases.
func (b *environment) broken(databases ...string) *environment {
	b.t.Helper()
	script := fmt.Sprintf(`[ "$1" = --version ] || case "$PGDATABASE" in %s) echo "no luck" >&2; exit 1;; esac; exec %s/pg_dump "$@"`, strings.Join(databases, "|"), b.pg.Folder)
	return b.with("PG_BIN_DIR", shimmed(b.t, b.pg.Folder, "pg_dump", script))
}

// Whatever number of databases fail, each is told and counted, the others are backed
// up, and what killed runs left behind is removed.
func TestRun_SeveralDatabasesFail(t *testing.T) {
	for _, failing := range []int{0, 1, 2, 3} {
		t.Run(fmt.Sprintf("%d of 3", failing), func(t *testing.T) {
			b := newEnvironment(t)
			var all []string
			for range 3 {
				all = append(all, b.pg.Database(t, social...))
			}
			left := b.orphan(all[0])
			o := b.broken(append([]string{"none"}, all[:failing]...)...).run("run", "--databases", strings.Join(all, ","))
			want := backupapi.CategorySucceeded
			if failing > 0 {
				want = backupapi.CategorySource
			}
			b.failed(o, want)
			for i, d := range o.result.Databases {
				failed := i < failing
				if (d.Category != "") != failed || strings.Contains(o.stderr, `"msg":"backup failed","database":"`+d.Name) != failed || failed && !strings.Contains(o.result.Message, d.Name) {
					t.Errorf("%s: %+v\n%s", d.Name, d, o.result.Message)
				}
			}
			if got := strings.Count(o.stdout, `"BackupFailure":1`); got != failing {
				t.Errorf("%d failures are counted in the metrics, want %d:\n%s", got, failing, o.stdout)
			}
			if strings.Contains(strings.Join(b.ids(), " "), left) {
				t.Error("the orphan is still there")
			}
		})
	}
	t.Run("the deadline passes at the first", func(t *testing.T) {
		b := newEnvironment(t)
		all := []string{largeDatabase(t), b.pg.Database(t), b.pg.Database(t)}
		proxy := pgtest.NewProxy(t, b.s3.Endpoint)
		gate, came, open := pgtest.Gate(pgtest.IsPart)
		proxy.Add(gate)
		defer open()
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-came
			cancel(context.DeadlineExceeded)
			open()
		}()
		o := b.with("S3_ENDPOINT", proxy.Endpoint).runContext(ctx, "run", "--databases", strings.Join(all, ","))
		b.failed(o, backupapi.CategoryDeadline)
		if len(o.result.Databases) != 3 || !strings.Contains(o.result.Databases[2].Message, "not begun") {
			t.Errorf("result %+v", o.result.Databases)
		}
	})
}

// prune goes on after a database that it must not prune.
func TestPrune_SeveralDatabasesFail(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1")
	database, other := b.pg.Database(t, social...), b.pg.Database(t, social...)
	b.must("run", "--databases", database+","+other)
	for _, id := range b.ids() {
		for _, days := range []int{20, 21, 22} {
			for _, name := range []string{database, other} {
				if keys := strings.Join(b.s3.Keys(t, b.bucket), " "); strings.Contains(keys, name+"/"+id) {
					b.copyTo(name, id, ago(days), nil)
				}
			}
		}
	}
	left := b.orphan(database)
	o := b.fails(backupapi.CategoryRefused, "prune")
	if len(o.result.Databases) != 2 || !strings.Contains(o.result.Message, database) || !strings.Contains(o.result.Message, other) {
		t.Errorf("result %+v", o.result)
	}
	if strings.Contains(strings.Join(b.ids(), " "), left) {
		t.Error("the orphan is still there")
	}
}

// A retention that would delete more than half says how to go on, in the exit code
// and in a metric, and the backup counts all the same.
func TestRun_RetentionDeletesTooMuch(t *testing.T) {
	b := newEnvironment(t).with("KEEP_MINIMUM", "1")
	database := b.pg.Database(t, social...)
	b.must("run", "--databases", database)
	first := b.ids()[0]
	for _, days := range []int{20, 21, 22} {
		b.copyTo(database, first, ago(days), nil)
	}
	o := b.fails(backupapi.CategoryRefused, "run", "--databases", database)
	d := o.result.Databases[0]
	if d.Category != "" || d.Backup == "" || !strings.Contains(d.PruneRefused, "pg-backup prune --take-many") || !strings.Contains(o.result.Message, "pg-backup prune --take-many") {
		t.Errorf("result %+v", o.result)
	}
	if !strings.Contains(o.stdout, `"PruneRefused":1`) || !strings.Contains(o.stdout, `"BackupSuccess":1`) || b.count() != 5 {
		t.Errorf("%d backups; metrics %s", b.count(), o.stdout)
	}
	b.must("prune", "--take-many")
	if o := b.must("run", "--databases", database); !strings.Contains(o.stdout, `"PruneRefused":0`) || b.count() != 3 {
		t.Errorf("%d backups; metrics %s", b.count(), o.stdout)
	}
}

// A store that does not return the manifest that was written: the run fails, and
// nothing is left that counts as a backup.
func TestRun_ManifestReadBack(t *testing.T) {
	change := func(edit func(content []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, edit(content), 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	spoils := map[string]func(*testing.T, string){
		"halves it":       change(func(c []byte) []byte { return c[:len(c)/2] }),
		"empties it":      change(func([]byte) []byte { return nil }),
		"doubles it":      change(func(c []byte) []byte { return append(c, c...) }),
		"changes a digit": change(func(c []byte) []byte { return []byte(strings.Replace(string(c), `"rows": 3000`, `"rows": 4000`, 1)) }),
		"loses it": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		},
	}
	isManifest := func(method string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == method && strings.HasSuffix(r.URL.Path, "/manifest.json")
		}
	}
	for name, spoil := range spoils {
		for _, mayDelete := range []bool{true, false} {
			t.Run(fmt.Sprintf("a store that %s, delete %t", name, mayDelete), func(t *testing.T) {
				b := newEnvironment(t)
				database := b.pg.Database(t, social...)
				proxy := pgtest.NewProxy(t, b.s3.Endpoint)
				proxy.Add(pgtest.Times(1, isManifest(http.MethodGet), func(_ http.ResponseWriter, r *http.Request) bool {
					spoil(t, b.s3.Path("", r.URL.Path))
					return false
				}))
				if !mayDelete {
					isDelete := func(r *http.Request) bool { return r.Method == http.MethodDelete || r.URL.Query().Has("delete") }
					proxy.Add(pgtest.Times(-1, isDelete, pgtest.Refuse(http.StatusForbidden, "AccessDenied")))
				}
				o := b.with("S3_ENDPOINT", proxy.Endpoint).run("run", "--databases", database)
				if o.code == 0 || o.result.Databases[0].Category == "" {
					t.Fatalf("the run succeeded: %+v", o.result)
				}
				if mayDelete {
					b.nothingLeft()
				}
				for _, l := range b.backups() {
					if l.Condition == "" {
						t.Errorf("it counts: %+v", l)
					}
				}
			})
		}
	}
	t.Run("a store that answers no read", func(t *testing.T) {
		b := newEnvironment(t)
		proxy := pgtest.NewProxy(t, b.s3.Endpoint)
		proxy.Add(pgtest.Times(-1, isManifest(http.MethodGet), pgtest.Refuse(http.StatusForbidden, "AccessDenied")))
		b.failed(b.with("S3_ENDPOINT", proxy.Endpoint).run("run", "--databases", b.pg.Database(t, social...)), backupapi.CategoryPermission)
		b.nothingLeft()
	})
	t.Run("an answer to the write that is lost is no failure", func(t *testing.T) {
		b := newEnvironment(t)
		proxy := pgtest.NewProxy(t, b.s3.Endpoint)
		lost := func(w http.ResponseWriter, r *http.Request) bool {
			content, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			b.put(strings.TrimPrefix(r.URL.Path, "/"+b.bucket+"/nova/"), string(content))
			return pgtest.Reset(0)(w, r)
		}
		proxy.Add(pgtest.Times(1, isManifest(http.MethodPut), lost))
		b.with("S3_ENDPOINT", proxy.Endpoint).must("run", "--databases", b.pg.Database(t, social...))
		if b.count() != 1 {
			t.Errorf("%d backups", b.count())
		}
	})
}

// Two servers that use one prefix would prune each other's backups.
func TestRun_TwoServers(t *testing.T) {
	one := newEnvironment(t)
	other := environmentOn(t, pgtest.NewPostgres(t))
	other.bucket = one.bucket
	other = other.with("S3_BUCKET", one.env["S3_BUCKET"])
	database := one.pg.Database(t, social...)
	one.must("run", "--databases", database)
	o := other.fails(backupapi.CategoryRefused, "run", "--databases", "postgres")
	if !strings.Contains(o.result.Message, "--accept-server") || !strings.Contains(o.result.Message, "another prefix") || one.count() != 1 {
		t.Errorf("%d backups; %s", one.count(), o.result.Message)
	}
	other.fails(backupapi.CategoryRefused, "run", "--dry-run", "--databases", "postgres")
	other.must("run", "--accept-server", "--databases", "postgres")
	other.must("run", "--databases", "postgres")
	one.fails(backupapi.CategoryRefused, "run", "--databases", database)
	one.with("S3_BUCKET", "s3://"+one.bucket+"/other").must("run", "--databases", database)
}
