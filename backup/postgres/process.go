package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

// shutdownTimeout is how long a process has between SIGTERM and SIGKILL.
const shutdownTimeout = 10 * time.Second

// command returns a command that runs one of PostgreSQL's programs.
func command(ctx context.Context, path string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}, env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = shutdownTimeout
	return cmd
}

// dump is the output of a process; see [backup.Dump].
type dump struct {
	cmd    *exec.Cmd
	out    *os.File
	stderr stderrBuffer
	end    func() error // waits for the process; later calls return the same error
}

// pipeSize is the largest pipe of an unprivileged process, in bytes. A larger pipe means
// fewer context switches.
const pipeSize = 1 << 20

func startDump(cmd *exec.Cmd) (*dump, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open a pipe: %w", err)
	}
	defer func() { _ = in.Close() }()
	_, _ = unix.FcntlInt(in.Fd(), unix.F_SETPIPE_SZ, pipeSize) // a smaller one works too
	d := &dump{cmd: cmd, out: out}
	cmd.Stdout, cmd.Stderr = in, &d.stderr
	if err := cmd.Start(); err != nil {
		_ = out.Close()
		return nil, backup.Fail(backupapi.CategorySource, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err))
	}
	d.end = sync.OnceValue(func() error { return d.stderr.classify(cmd, cmd.Wait()) })
	return d, nil
}

// Read returns io.EOF only after the process has exited with 0.
func (d *dump) Read(p []byte) (int, error) {
	n, err := d.out.Read(p)
	if err != nil && n == 0 {
		if ended := d.end(); ended != nil {
			return 0, ended
		}
		return 0, err
	}
	return n, nil
}

// Close stops the process if it has not ended.
func (d *dump) Close() error {
	_ = d.out.Close() // the process gets SIGPIPE when it writes
	if d.cmd.ProcessState == nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
	}
	_ = d.end() // an error that Read has not returned does not matter any more
	return nil
}

// Warnings implements [backup.Dump].
func (d *dump) Warnings() []string { return d.stderr.lines() }

// stderrBuffer keeps the first maxStderr bytes that a process writes to stderr.
type stderrBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

const maxStderr = 16 << 10

func (c *stderrBuffer) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p[:min(len(p), max(0, maxStderr-c.text.Len()))])
	return len(p), nil
}

func (c *stderrBuffer) lines() (lines []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range strings.Split(c.text.String(), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// classify returns an error with the reason why a process failed; nil if it did not.
func (c *stderrBuffer) classify(cmd *exec.Cmd, ended error) error {
	if ended == nil {
		return nil
	}
	text := strings.Join(c.lines(), "; ")
	if text == "" {
		text = "it wrote no message"
	}
	err := fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), ended, text)
	if strings.Contains(text, recoveryConflict) {
		return conflictWithRecovery(err)
	}
	for _, known := range knownMessages {
		if strings.Contains(text, known.text) {
			return backup.Fail(known.category, errors.Join(err, known.also))
		}
	}
	return backup.Fail(backupapi.CategorySource, err)
}

// knownMessages lists parts of messages and their categories: pg_dump reports no codes.
// Messages of a server with another language get the category source.
var knownMessages = []struct {
	text     string
	category backupapi.Category
	also     error
}{
	{"permission denied", backupapi.CategoryPermission, nil},
	{"row-level security", backupapi.CategoryPermission, nil},
	{"row security", backupapi.CategoryPermission, nil},
	{"password authentication failed", backupapi.CategoryPermission, nil},
	{"LOCK TABLE", backupapi.CategoryLockHeld, backup.ErrConflict},
	{"due to lock timeout", backupapi.CategoryLockHeld, backup.ErrConflict},
	// DDL between the snapshot and the dump.
	{"does not exist", backupapi.CategorySource, backup.ErrChanged},
	{"cache lookup failed", backupapi.CategorySource, backup.ErrChanged},
	{"could not open relation with OID", backupapi.CategorySource, backup.ErrChanged},
	{"schema with OID", backupapi.CategorySource, backup.ErrChanged},
}

// feed runs a process with a stream as its input. The process may exit with 0 before it
// has read the whole stream: pg_restore stops reading after the section that it needs.
func feed(cmd *exec.Cmd, from io.Reader) error {
	var stderr stderrBuffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("open a pipe: %w", err)
	}
	if f, ok := in.(interface{ Fd() uintptr }); ok {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	}
	if err := cmd.Start(); err != nil {
		return backup.Fail(backupapi.CategorySource, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err))
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{in}, struct{ io.Reader }{from}, make([]byte, 256<<10))
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) {
			_ = cmd.Process.Signal(syscall.SIGTERM) // before it reads the end of a stream that is not whole
		} else {
			err = nil
		}
		_ = in.Close()
		copied <- err
	}()
	ended := stderr.classify(cmd, cmd.Wait())
	if err := <-copied; err != nil {
		return err
	}
	return ended
}
