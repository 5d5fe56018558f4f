package sidecar_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// memoryGroup is a control group with a limit of memory, as a container has one.
type memoryGroup struct {
	t       *testing.T
	dir     string
	version int
	// seen is where a process in a container finds the files of its own group.
	seen string
}

// newMemoryGroup makes a control group of version 2 or 1. Where none can be made, as
// without root, the test is skipped, except in CI.
func newMemoryGroup(t *testing.T, limit int64) memoryGroup {
	t.Helper()
	g := memoryGroup{t: t, version: 2, seen: "/sys/fs/cgroup"}
	if controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err != nil || !slices.Contains(strings.Fields(string(controllers)), "memory") {
		g.version, g.seen = 1, "/sys/fs/cgroup/memory"
	}
	g.dir = filepath.Join(g.seen, fmt.Sprintf("novawire-test-%d", os.Getpid()))
	if err := g.create(limit); err != nil {
		prerequisite.Skip(t, "no control group can be made, which needs root and a cgroup file system that is not read-only: %v; run as root: go test ./sidecar -run '^%s$'", err, t.Name())
	}
	t.Cleanup(func() {
		if err := os.Remove(g.dir); err != nil {
			t.Errorf("remove the control group: %v", err)
		}
	})
	return g
}

// create makes the group and sets its limits: of memory, and of memory with swap.
func (g memoryGroup) create(limit int64) error {
	if g.version == 2 { // the group above hands its controller on
		if err := g.write("../cgroup.subtree_control", "+memory"); err != nil {
			return err
		}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return err
	}
	text := strconv.FormatInt(limit, 10)
	first, second, swap := "memory.max", "memory.swap.max", "0"
	if g.version == 1 {
		first, second, swap = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", text
	}
	err := g.write(first, text)
	if _, missing := os.Stat(filepath.Join(g.dir, second)); err == nil && missing == nil { // else this kernel does not count swap
		err = g.write(second, swap)
	}
	if err != nil {
		return errors.Join(err, os.Remove(g.dir))
	}
	return nil
}

func (g memoryGroup) write(name, text string) error {
	return os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600)
}

// start runs the sidecar in the group. In a mount namespace of its own it sees the
// files of its group where a container sees them, and sizes itself by them.
func (g memoryGroup) start(environment ...string) *process {
	g.t.Helper()
	p := launchBy(g.t, func(path string) *exec.Cmd {
		cmd := exec.Command("/bin/sh", "-c", `echo $$ >"$1/cgroup.procs" && mount --bind "$1" "$2" && exec "$3"`, "sh", g.dir, g.seen, path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return cmd
	}, append(environment, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")...)
	eventually(g.t, "the sidecar is ready", func() bool { return p.get("/ready") == http.StatusOK })
	return p
}

// kills is how many processes of the group the kernel has killed for memory.
func (g memoryGroup) kills() int64 {
	g.t.Helper()
	name := "memory.events"
	if g.version == 1 {
		name = "memory.oom_control"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			kills, _ := strconv.ParseInt(n, 10, 64)
			return kills
		}
	}
	g.t.Fatalf("%s has no oom_kill:\n%s", name, text)
	return 0
}

// The table of bombs in a group of 64 MiB that the kernel enforces: nothing is killed, and
// everything is answered and counted.
func TestContainer_SurvivesEveryBomb(t *testing.T) {
	backend := receiver(t, fakeotlp.Options{})
	group := newMemoryGroup(t, container)
	p := group.start(to(backend, sidecarapi.ProtocolGRPC, podAttributes)...)
	want := sendBombs(t, p)
	if kills := group.kills(); kills != 0 {
		t.Fatalf("the kernel killed %d processes for memory:\n%s", kills, p.log())
	}
	want.check(t, p.stop())
}

// The proof of the group: the kernel kills what is too large for it.
func TestContainer_KillsWhatIsTooLarge(t *testing.T) {
	group := newMemoryGroup(t, container)
	cmd := exec.Command("/bin/sh", "-c", `echo $$ >"$1/cgroup.procs" && head -c 256M /dev/zero | tail`, "sh", group.dir)
	if err := cmd.Run(); err == nil || group.kills() == 0 {
		t.Errorf("a process of 256 MB in a group of 64 MiB ended with %v, killed were %d", err, group.kills())
	}
}
