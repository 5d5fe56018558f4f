package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/pgtest"
)

// kills is how often the loop kills something at a random moment.
const kills = 50

// TestRun_FiftyKills kills the server, one pg_dump, or the program
// itself, somewhere between the run's beginning and its end. Whatever was hit,
// every backup that list shows is whole, and none that was there is gone unless a
// run succeeded.
func TestRun_FiftyKills(t *testing.T) {
	pg := pgtest.NewPostgres(t)
	b := environmentOn(t, pg).with("KEEP_MINIMUM", "1", "LOG_LEVEL", "info")
	pg.Exec(t, "postgres", social...)
	// Old backups are fewer than half of all, or prune would refuse to delete them.
	b.old("postgres", 30, 20)
	for range 2 {
		b.with("RETENTION_DAYS", "365").must("run", "--databases", "postgres")
	}
	started := time.Now()
	b.must("run", "--databases", "postgres")
	usual := time.Since(started)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d; a run takes %s", seed, usual)
	victims := map[string]func(*exec.Cmd){
		"the server":     func(*exec.Cmd) { pg.Kill() },
		"one pg_dump":    func(cmd *exec.Cmd) { killChild(cmd.Process.Pid, "pg_dump") },
		"ourselves":      func(cmd *exec.Cmd) { _ = cmd.Process.Kill() },
		"with SIGTERM":   func(cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) },
		"a COPY backend": func(*exec.Cmd) { terminateDump(pg) },
	}
	names := []string{"the server", "one pg_dump", "ourselves", "with SIGTERM", "a COPY backend"}
	failures := map[string]int{}
	for i := range kills {
		victim := names[i%len(names)]
		before := visible(b)
		cmd := exec.Command(os.Args[0], "run", "--databases", "postgres")
		cmd.Env = b.process()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		moment := time.NewTimer(time.Duration(random.Int64N(int64(usual))))
		var err error
		select {
		case <-moment.C:
			victims[victim](cmd)
			err = <-ended
		case err = <-ended:
		}
		if victim == "the server" && !alive(pg) {
			if err := pg.Start(); err != nil {
				t.Fatal(err)
			}
		}
		after := visible(b)
		if err != nil {
			failures[victim]++
			for id := range before {
				if !after[id] {
					t.Fatalf("kill %d of %s: backup %s was pruned by a run that failed", i, victim, id)
				}
			}
		}
	}
	t.Logf("runs that failed, by victim: %v", failures)
	for id := range visible(b) {
		b.must("verify", "--database", "postgres", "--backup", id)
	}
	if len(failures) < 3 {
		t.Errorf("only %v failed: the kills missed", failures)
	}
}

func visible(b *environment) map[string]bool {
	ids := map[string]bool{}
	for _, l := range b.backups() {
		ids[l.Backup] = true
	}
	return ids
}

// killChild kills a child of a process, as the kernel does when memory is short.
func killChild(parent int, program string) {
	found, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range found {
		stat, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(stat), "("+program+")") {
			continue
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
	}
}

func terminateDump(pg *pgtest.Postgres) {
	cmd := exec.Command(filepath.Join(pg.Folder, "psql"), "-X", "-q", "-h", "127.0.0.1", "-p", pg.Port, "-U", pgtest.Superuser, "-d", "postgres", "-c",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('pg_dump', 'pg-backup') LIMIT 1")
	_ = cmd.Run()
}

func alive(pg *pgtest.Postgres) bool {
	cmd := exec.Command(filepath.Join(pg.Folder, "psql"), "-X", "-q", "-h", "127.0.0.1", "-p", pg.Port, "-U", pgtest.Superuser, "-d", "postgres", "-c", "SELECT 1")
	return cmd.Run() == nil
}
