package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Regress runs PostgreSQL's regression tests, which leave a database named
// regression behind with about every kind of object.
func (p *Postgres) Regress(t testing.TB) {
	t.Helper()
	inputs := os.Getenv("NOVAWIRE_REGRESS")
	if inputs == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			if found, _ := filepath.Glob(filepath.Join(cache, "novawire/postgresql-regress-*[0-9]")); len(found) > 0 {
				inputs = found[len(found)-1]
			}
		}
	}
	program := filepath.Join(filepath.Dir(p.Folder), "lib/pgxs/src/test/regress/pg_regress")
	if _, err := os.Stat(program); err != nil || inputs == "" {
		Missing(t, "PostgreSQL's regression tests", "postgresql_regress")
	}
	// They are run by, and read from, the server's user.
	work := filepath.Join(p.dir, "regress")
	script := fmt.Sprintf("cp -r %q %q && chown -R --reference=%q %q", inputs, work, p.dir, work)
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("copy the regression tests: %v: %s", err, out)
	}
	tests := filepath.Join(work, "src/test/regress")
	cmd := exec.CommandContext(t.Context(), program, "--bindir="+p.Folder, "--dlpath="+filepath.Join(work, "dlpath"), "--inputdir="+tests, "--outputdir="+work,
		"--schedule="+filepath.Join(tests, "parallel_schedule"), "--max-connections=4", "--host=127.0.0.1", "--port="+p.Port, "--user="+Superuser)
	cmd.Dir = work
	if err := Unprivileged(cmd); err != nil {
		t.Fatal(err)
	}
	out, _ := cmd.CombinedOutput() // a few of them depend on timing: what counts is what they leave
	if failed := strings.Count(string(out), "FAILED"); failed > 10 {
		t.Fatalf("%d regression tests failed: %s", failed, out[max(0, len(out)-3000):])
	}
}
