package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/backup"
)

// plant writes a backup whose manifest counts some tables directly to the store's disk:
// that is faster than thousands of requests.
func (b *environment) plant(database string, at time.Time, number int, tables string) {
	b.t.Helper()
	id := backup.NewID(at, uint32(number))
	folder := b.s3.Path(b.bucket, "nova/"+backup.Folder(database, id))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "base.00000"), []byte("12345"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(folder, backup.ManifestName))
	if err != nil {
		b.t.Fatal(err)
	}
	out := bufio.NewWriter(file)
	fmt.Fprintf(out, `{"format":1,"id":%q,"database":%q,"started":%q,"streams":[{"kind":"base","bytes":9,"objects":[{"name":"base.00000","size":5}]}],"content":{"tables":{`,
		id, database, at.UTC().Format(time.RFC3339))
	_, _ = out.WriteString(tables) // Flush returns the error
	fmt.Fprint(out, "}}}")
	if err := out.Flush(); err != nil {
		b.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// tables is the part of a manifest that counts so many tables.
func tables(n int) string {
	var out strings.Builder
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "\n\"public.a_table_of_a_usual_length_%08d\":{\"rows\":2,\"sum\":\"00000000000000%02x\"}", i, i%256)
	}
	return out.String()
}

// measure runs one command line as a process of its own and returns how long it took
// and how much memory it had at most, in bytes.
func (b *environment) measure(args ...string) (took time.Duration, memory int64, stdout string) {
	b.t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	peak := filepath.Join(b.t.TempDir(), "peak")
	cmd.Env = append(b.process("LOG_LEVEL", "info"), peakFile+"="+peak)
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	started := time.Now()
	err := cmd.Run()
	took = time.Since(started)
	if err != nil {
		b.t.Fatalf("%v: %v\n%s", args, err, log.String())
	}
	status, err := os.ReadFile(peak)
	if err != nil {
		b.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return took, kilobytes << 10, out.String()
}

func TestList_Thousands(t *testing.T) {
	const many = 2500
	few := tables(100)
	b := newEnvironment(t)
	for i := range many {
		b.plant("db", time.Now().Add(-time.Duration(i)*time.Hour), i, few)
	}
	if got := b.count(); got != many {
		t.Fatalf("%d are listed, want %d", got, many)
	}
	o := b.must("prune", "--take-many")
	left := o.result.Databases[0].Pruned
	if got := b.count(); got < 7*24 || got > 7*24+2 || left != many-got {
		t.Errorf("%d are left of a week's, %d were pruned", got, left)
	}
}

// The summary makes a listing of thousands fast, and it is never believed where the
// store shows something else.
func TestList_Summary(t *testing.T) {
	const many = 2500
	few := tables(100)
	b := newEnvironment(t).with("RETENTION_DAYS", "3650")
	for i := range many {
		b.plant("db", time.Now().Add(-time.Duration(i)*time.Hour), i, few)
	}
	slow, _, before := b.measure("list")
	b.must("prune") // deletes nothing, and writes the summary
	fast, memory, after := b.measure("list")
	t.Logf("a list of %d takes %s without a summary, %s with it, %d MiB", many, slow, fast, memory>>20)
	if fast > 3*time.Second { // a second on a machine that does nothing else
		t.Errorf("a list takes %s", fast)
	}
	if withoutAges(before) != withoutAges(after) || strings.Count(after, " ok\n") != many {
		t.Error("the listings differ")
	}
	all := b.backups()
	for name, change := range map[string]func(folder string) error{
		"a manifest that changed":  func(folder string) error { return os.WriteFile(folder+backup.ManifestName, []byte("{}"), 0o600) },
		"an object that is gone":   func(folder string) error { return os.Remove(folder + "base.00000") },
		"an object that was cut":   func(folder string) error { return os.Truncate(folder+"base.00000", 2) },
		"a verdict that was added": func(folder string) error { return os.WriteFile(folder+backup.VerificationName, []byte(`{}`), 0o600) },
		"a summary that is no JSON": func(string) error {
			return os.WriteFile(b.s3.Path(b.bucket, "nova/db/summary.json"), []byte("{"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			one := all[0]
			all = all[1:]
			if err := change(b.s3.Path(b.bucket, "nova/"+backup.Folder("db", one.Backup)) + "/"); err != nil {
				t.Fatal(err)
			}
			for _, l := range b.on(t).backups() {
				if l.Backup == one.Backup && (l.Condition == "") != strings.Contains(name, "summary") {
					t.Errorf("condition %q", l.Condition)
				}
			}
		})
	}
}

func withoutAges(table string) string {
	var out strings.Builder
	for _, line := range strings.Split(table, "\n") {
		for i, field := range strings.Fields(line) {
			if i != 2 {
				out.WriteString(field + " ")
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// Large manifests are read in bounded memory.
func TestList_LargeManifests(t *testing.T) {
	large := tables(94 * 13_500)
	b := newEnvironment(t)
	for i := range 6 {
		b.plant("db", time.Now().Add(-time.Duration(i)*time.Hour), i, large)
	}
	took, memory, out := b.measure("list")
	t.Logf("a list of six manifests of 94 MB takes %s and %d MiB", took, memory>>20)
	if memory > 128<<20 {
		t.Errorf("it took %d MiB", memory>>20)
	}
	if strings.Count(out, " ok\n") != 6 {
		t.Errorf("listed:\n%s", out)
	}
}
