package sidecar_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/sidecar/ledger"
)

// patience is for conditions that hold within moments on a machine that is not busy.
const patience = time.Minute

// program is the sidecar as it is shipped, built once; or another build of it, which
// NOVAWIRE_TEST_SIDECAR names.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("NOVAWIRE_TEST_SIDECAR"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "novawire-sidecar-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "novawire-sidecar")
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace,netgo,osusergo", "-ldflags", "-s -w", "-o", path, "../cmd/novawire-sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the sidecar: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil && os.Getenv("NOVAWIRE_TEST_SIDECAR") == "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is a sidecar that runs.
type process struct {
	t               testing.TB
	cmd             *exec.Cmd
	otlp, status    string
	terminationFile string

	mu     sync.Mutex
	output strings.Builder
	read   chan struct{} // closed: output is complete
}

// start runs a sidecar with more variables, and waits until it is ready.
func start(t testing.TB, environment ...string) *process {
	t.Helper()
	p := launchOnly(t, environment...)
	eventually(t, "the sidecar is ready", func() bool { return p.get("/ready") == http.StatusOK })
	return p
}

func launchOnly(t testing.TB, environment ...string) *process {
	t.Helper()
	return launchBy(t, func(path string) *exec.Cmd { return exec.Command(path) }, environment...)
}

// launchBy runs the sidecar by the command that is made for its path.
func launchBy(t testing.TB, command func(path string) *exec.Cmd, environment ...string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		t: t, otlp: freeAddress(t), status: freeAddress(t),
		terminationFile: filepath.Join(t.TempDir(), "termination-log"), read: make(chan struct{}),
	}
	if err := os.WriteFile(p.terminationFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.cmd = command(path)
	p.cmd.Env = append([]string{
		sidecarapi.EnvListen + "=" + p.otlp, sidecarapi.EnvMetricsListen + "=" + p.status,
		sidecarapi.EnvTerminationFile + "=" + p.terminationFile, sidecarapi.EnvFlushInterval + "=50ms",
		sidecarapi.EnvDrainTimeout + "=" + patience.String(), // a machine may be busy; a test of the drain says how long it takes
	}, environment...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	go p.listen(stdout)
	return p
}

func (p *process) listen(stdout io.Reader) {
	defer close(p.read)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		p.mu.Lock()
		p.output.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

func (p *process) get(path string) int {
	response, err := http.Get("http://" + p.status + path)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// end signals the process and waits for it.
func (p *process) end(signal os.Signal) {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(signal)
		<-p.read
		_ = p.cmd.Wait()
	}
}

// stop ends the sidecar as a pod's end would, and returns its ledger, which is
// the last line printed and the termination message alike.
func (p *process) stop() map[string]ledger.Entry {
	p.t.Helper()
	p.end(syscall.SIGTERM)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("exit code %d, want 0\n%s", code, p.log())
	}
	message, err := os.ReadFile(p.terminationFile)
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.HasSuffix(p.log(), string(message)) || len(message) == 0 || len(message) > 4096 {
		p.t.Errorf("termination message %q is not the last line of:\n%s", message, p.log())
	}
	var line struct{ Ledger map[string]ledger.Entry }
	if err := json.Unmarshal(message, &line); err != nil {
		p.t.Fatalf("read ledger: %v\n%s", err, p.log())
	}
	for signal, entry := range line.Ledger {
		if entry.Balance() != 0 {
			p.t.Errorf("%s: the ledger does not balance: %+v", signal, entry)
		}
	}
	return line.Ledger
}

// memory is a field of /proc/PID/status, in bytes.
func (p *process) memory(field string) int64 { return memoryOf(p.t, p.cmd.Process.Pid, field) }

func memoryOf(t testing.TB, pid int, field string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib * 1024
		}
	}
	t.Fatalf("no %s in the status of process %d", field, pid)
	return 0
}

// metric reads one series of /metrics; -1 if it is not there.
func (p *process) metric(series string) (value int64) {
	response, err := http.Get("http://" + p.status + "/metrics")
	if err != nil {
		return -1
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err == nil {
				return value
			}
		}
	}
	return -1
}

// ports counts through ports that the kernel gives to nobody: not to a connection, nor to
// a listener that asks for any. One of those could take a port that was free before the
// sidecar listens on it.
var ports atomic.Uint32

const firstPort, lastPort = 10_000, 32_000 // below net.ipv4.ip_local_port_range

// freeAddress returns an address that nobody listens on. Test processes begin at
// different ports.
func freeAddress(t testing.TB) string {
	t.Helper()
	begin := os.Getpid() * 97
	for range lastPort - firstPort {
		port := firstPort + (begin+int(ports.Add(1)))%(lastPort-firstPort)
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("every port is in use")
	return ""
}

func listenLoopback() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// eventually polls a condition that other processes bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
