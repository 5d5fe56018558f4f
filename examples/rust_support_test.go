package examples

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"

	"github.com/nova/novawire/internal/testing/pgtest"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// patience is for conditions that hold within moments on a machine that is not busy.
const patience = 2 * time.Minute

// cargo runs a command of cargo in the workspace, with the dependencies that
// Cargo.lock pins, compiled in a folder outside of the tree.
func cargo(t *testing.T, arguments ...string) {
	t.Helper()
	program := prerequisite.Path(t, "NOVAWIRE_CARGO", "rust")
	cmd := exec.Command(program, arguments...)
	cmd.Dir = "rust"
	cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+prerequisite.Path(t, "NOVAWIRE_RUST_TARGET", "rust"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cargo %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// collector accepts OTLP by gRPC and by HTTP, and keeps the spans.
type collector struct {
	ptraceotlp.UnimplementedGRPCServer
	grpc, http string // endpoints

	mu    sync.Mutex
	spans []span
}

type span struct {
	service, pod, name, kind, trace, id, parent string
	failed                                      bool
	attributes                                  map[string]any
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	listeners := [2]net.Listener{}
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
	}
	c.grpc, c.http = "http://"+listeners[0].Addr().String(), "http://"+listeners[1].Addr().String()
	byGRPC := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(byGRPC, c)
	byHTTP := &http.Server{Handler: c, ReadHeaderTimeout: patience}
	var serving sync.WaitGroup
	serving.Go(func() { _ = byGRPC.Serve(listeners[0]) })
	serving.Go(func() { _ = byHTTP.Serve(listeners[1]) })
	t.Cleanup(func() {
		byGRPC.Stop()
		_ = byHTTP.Close()
		serving.Wait()
	})
	return c
}

// Export is called by gRPC.
func (c *collector) Export(_ context.Context, q ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	c.take(q.Traces())
	return ptraceotlp.NewExportResponse(), nil
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	q := ptraceotlp.NewExportRequest()
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || q.UnmarshalProto(body) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.take(q.Traces())
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) take(traces ptrace.Traces) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range traces.ResourceSpans().All() {
		resource := r.Resource().Attributes().AsRaw()
		for _, scope := range r.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				c.spans = append(c.spans, span{
					service: fmt.Sprint(resource["service.name"]), pod: fmt.Sprint(resource["k8s.pod.name"]),
					name: s.Name(), kind: s.Kind().String(), failed: s.Status().Code() == ptrace.StatusCodeError,
					trace: s.TraceID().String(), id: s.SpanID().String(), parent: s.ParentSpanID().String(),
					attributes: s.Attributes().AsRaw(),
				})
			}
		}
	}
}

// ofTrace returns the spans of a trace that have arrived.
func (c *collector) ofTrace(trace string) (found []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.trace == trace {
			found = append(found, s)
		}
	}
	return found
}

// process is a program that writes lines of JSON.
type process struct {
	t       *testing.T
	address string
	cmd     *exec.Cmd
	read    chan struct{} // closed: the output is complete

	mu    sync.Mutex
	lines []line
}

type line struct {
	Level   string         `json:"level"`
	TraceID string         `json:"trace_id"`
	SpanID  string         `json:"span_id"`
	Fields  map[string]any `json:"fields"`
	text    string
}

// launch starts a service with these variables and no other.
func launch(t *testing.T, service string, environment ...string) *process {
	t.Helper()
	p := &process{t: t, address: freeAddress(t), read: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(prerequisite.Path(t, "NOVAWIRE_RUST_TARGET", "rust"), "debug", service))
	p.cmd.Env = append([]string{"LISTEN=" + p.address}, environment...)
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	go func() {
		defer close(p.read)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			l := line{text: scanner.Text()}
			_ = json.Unmarshal(scanner.Bytes(), &l) // a line that is no JSON has no level
			p.mu.Lock()
			p.lines = append(p.lines, l)
			p.mu.Unlock()
		}
	}()
	return p
}

// run runs a service's program to its end.
func run(t *testing.T, service string, arguments []string, environment ...string) (output string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(prerequisite.Path(t, "NOVAWIRE_RUST_TARGET", "rust"), "debug", service), arguments...)
	cmd.Env = environment
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// start starts a service and waits until it is ready.
func start(t *testing.T, service string, environment ...string) *process {
	t.Helper()
	p := launch(t, service, environment...)
	pgtest.Eventually(t, service+" is ready", patience, func() bool {
		status, _, err := p.get("/ready")
		return err == nil && status == http.StatusOK
	})
	return p
}

// end sends a signal and returns the exit code.
func (p *process) end(signal os.Signal) int {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(signal)
		<-p.read
		_ = p.cmd.Wait()
	}
	return p.cmd.ProcessState.ExitCode()
}

// log returns the lines of a trace; all for "".
func (p *process) log(trace string) (found []line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if trace == "" || l.TraceID == trace {
			found = append(found, l)
		}
	}
	return found
}

// find waits for so many lines of a trace that satisfy a condition: the service has
// written them before it answered, but this process may not have read them yet.
func (p *process) find(t *testing.T, trace, what string, count int, holds func(line) bool) (found []line) {
	t.Helper()
	pgtest.Eventually(t, what, patience, func() bool {
		found = slices.DeleteFunc(p.log(trace), func(l line) bool { return !holds(l) })
		return len(found) >= count
	})
	return found
}

func (p *process) get(path string, headers ...string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// metric returns a series of /metrics, "" if it is missing, without its exemplar.
func (p *process) metric(t *testing.T, name string) string {
	t.Helper()
	_, text, err := p.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			return value
		}
	}
	return ""
}

// redis is a server without a file on disk.
type redis struct {
	t    *testing.T
	port string
	cmd  *exec.Cmd
}

func startRedis(t *testing.T) *redis {
	t.Helper()
	_, port, _ := net.SplitHostPort(freeAddress(t))
	r := &redis{t: t, port: port}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *redis) start() {
	r.t.Helper()
	r.cmd = exec.Command(prerequisite.Path(r.t, "NOVAWIRE_REDIS", "redis"), "--port", r.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.t.TempDir())
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	awaitPort(r.t, "127.0.0.1:"+r.port)
}

func (r *redis) stop() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func awaitPort(t *testing.T, address string) {
	t.Helper()
	pgtest.Eventually(t, address+" is listened on", patience, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}
