package dump_test

import (
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/dump"
	"github.com/nova/novawire/backup/postgres"
	"github.com/nova/novawire/backup/restore"
	"github.com/nova/novawire/backup/verify"
	"github.com/nova/novawire/internal/testing/pgtest"
)

// PostgreSQL's own regression database has hundreds of tables of every kind that
// there is. What a restore of ours holds must be what a restore of a plain dump
// holds. (Both differ from the source: PostgreSQL orders columns of inheriting
// tables anew.)
func TestRun_RegressionDatabase(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	pg := pgtest.NewPostgres(t)
	pg.Regress(t)
	r := newRunner(t, newSource(t, pg), pgtest.SharedS3(t).Endpoint)
	r.Databases, r.Streams, r.Layout.SeparateFrom = []string{"regression"}, 3, 200<<10
	results, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.ReadManifest(t.Context(), r.Store, "regression", results[0].Backup)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Streams) < 5 || len(m.Content.Tables) < 300 || m.Content.LargeObjects.Rows == 0 || m.Content.Sequences.Rows < 20 {
		t.Errorf("%d streams, %d tables, %d large objects, %d sequences", len(m.Streams), len(m.Content.Tables), m.Content.LargeObjects.Rows, m.Content.Sequences.Rows)
	}
	restoreOurs(t, pg, r, m)
	pg.Exec(t, "postgres", "CREATE DATABASE plain TEMPLATE template0")
	login := fmt.Sprintf("-h 127.0.0.1 -p %s -U %s", pg.Port, pgtest.Superuser)
	script := fmt.Sprintf("set -o pipefail; %[1]s/pg_dump %[2]s -Fc -Z0 -d regression | %[1]s/pg_restore %[2]s --exit-on-error -d plain", pg.Folder, login)
	if out, err := exec.Command("bash", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("plain copy: %v: %s", err, out)
	}
	if found := lineDifferences(dumpLines(t, pg, "plain"), dumpLines(t, pg, "ours")); len(found) > 0 {
		t.Errorf("the restores differ in %d lines:\n%s", len(found), strings.Join(found[:min(len(found), 20)], "\n"))
	}
	driller := verify.Driller{
		Store: r.Store, Scratch: &postgres.Scratch{Folders: []string{pg.Folder}}, Now: r.Now, Log: r.Log,
		Observer: backup.NoObserver{}, Progress: &backup.Progress{}, Streams: 2,
	}
	if _, err := driller.Drill(t.Context(), m); err != nil && !strings.Contains(err.Error(), "regress.so") {
		t.Errorf("drill: %v", err)
	}
}

func restoreOurs(t *testing.T, pg *pgtest.Postgres, r *dump.Runner, m backup.Manifest) {
	t.Helper()
	address, err := postgres.ParseAddress(pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	restorer := restore.Restorer{
		Store: r.Store, Target: &postgres.Target{Address: address, Folders: []string{pg.Folder}, Major: pg.Major},
		Log: slog.New(slog.DiscardHandler), Observer: backup.NoObserver{}, Progress: &backup.Progress{}, Streams: 2,
	}
	if _, err := restorer.Restore(t.Context(), m, "ours"); err != nil {
		t.Fatal(err)
	}
}

// dumpLines is a database as sorted lines of SQL.
func dumpLines(t *testing.T, pg *pgtest.Postgres, database string) []string {
	t.Helper()
	cmd := exec.Command(filepath.Join(pg.Folder, "pg_dump"), "-h", "127.0.0.1", "-p", pg.Port, "-U", pgtest.Superuser, "-d", database)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(content), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "--") || strings.HasPrefix(line, `\restrict`) || strings.HasPrefix(line, `\unrestrict`)
	})
	slices.Sort(lines)
	return lines
}

// lineDifferences compares sorted lines.
func lineDifferences(a, b []string) (found []string) {
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			found, a = append(found, "- "+a[0]), a[1:]
		case len(a) == 0 || b[0] < a[0]:
			found, b = append(found, "+ "+b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return found
}
