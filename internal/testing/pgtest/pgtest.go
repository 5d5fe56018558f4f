// Package pgtest starts the real servers of the backup tests: PostgreSQL, versitygw and a
// proxy in front of it that injects faults. If a server is missing, the test is skipped
// with the command that installs it; in CI it fails.
package pgtest

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

// cleanups run after all tests of a package.
var (
	cleanupsMu sync.Mutex
	cleanups   []func()
)

// Main runs a package's tests and then stops the servers they shared.
func Main(m *testing.M) {
	code := m.Run()
	for _, cleanup := range slices.Backward(cleanups) { // nothing adds to them any more
		cleanup()
	}
	os.Exit(code)
}

func atExit(f func()) {
	cleanupsMu.Lock()
	defer cleanupsMu.Unlock()
	cleanups = append(cleanups, f)
}

// Missing skips the test because something is not installed.
func Missing(t testing.TB, what, target string) {
	t.Helper()
	prerequisite.Skip(t, "%s is missing; run: tools/provide %s", what, target)
}

// freePort asks the kernel for one.
func freePort() (string, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// Eventually polls a condition until it holds.
func Eventually(t testing.TB, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not within %s", what, limit)
}

// process is a server that runs until stop.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    string
}

func startProcess(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{}), log: log}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) stop(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// ready waits until a check succeeds or the process ends.
func (p *process) ready(check func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if last = check(); last == nil {
			return nil
		}
		select {
		case <-p.exited:
			text, _ := os.ReadFile(p.log)
			return errors.New("it ended: " + string(text))
		case <-tick.C:
		}
	}
	return last
}

// folder makes a temporary folder that other users may enter.
func folder(pattern string) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", err
	}
	return filepath.Clean(dir), os.Chmod(dir, 0o755)
}
