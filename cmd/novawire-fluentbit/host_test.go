//go:build cgo

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/fakelogs"
)

// buildDir is the folder of what build makes; "" before it ran.
var buildDir string

// build compiles the plugin and the C host that loads it.
var build = sync.OnceValues(func() (b struct{ plugin, host string }, err error) {
	if buildDir, err = os.MkdirTemp("", "novawire-fluentbit"); err != nil {
		return b, err
	}
	b.plugin, b.host = filepath.Join(buildDir, "out_novawire.so"), filepath.Join(buildDir, "host")
	for _, command := range [][]string{
		{"go", "build", "-buildmode=c-shared", "-tags", "netgo,osusergo", "-trimpath", "-ldflags", "-s -w", "-o", b.plugin, "."},
		{"cc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", b.host, "testdata/host.c", "-ldl", "-lpthread"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return b, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
		}
	}
	return b, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

func startService(t testing.TB) *fakelogs.Server {
	t.Helper()
	s, err := fakelogs.Start(context.Background(), fakelogs.Options{Region: "eu-west-1", AccessKey: "id", SecretKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// hostCommand returns a command that flushes chunks through the plugin with the
// given settings.
func hostCommand(t testing.TB, s *fakelogs.Server, chunks []string, settings ...string) *exec.Cmd {
	t.Helper()
	b, err := build()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{b.plugin, "region=eu-west-1", "endpoint=" + s.URL(), "node=node-a"}, settings...)
	cmd := exec.Command(b.host, append(append(args, "--"), chunks...)...)
	cmd.Env = []string{"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "HOME=" + t.TempDir()}
	return cmd
}

// writeChunks writes chunks to files. The names of the files are the tags.
func writeChunks(t testing.TB, chunks map[string][]byte) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for tag, chunk := range chunks {
		path := filepath.Join(dir, tag)
		if err := os.WriteFile(path, chunk, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

const linesPerChunk = 200

// mixedChunks returns chunks of lines with ids, one that ends in invalid bytes
// and one that consists of them, and how often each id is sent.
func mixedChunks(count int) (map[string][]byte, map[string]int) {
	all, sent := map[string][]byte{}, map[string]int{}
	for c := range count {
		var chunk []byte
		for l := range linesPerChunk {
			id := fmt.Sprintf("<%d/%d>", c, l)
			sent[id] = 1
			line := fmt.Sprintf(`{"level":"INFO","fields":{"message":"m","id":%q}}`, id)
			if l%10 == 0 {
				line = "plain text " + id
			}
			chunk = append(chunk, chunks.Line(time.Now(), line, chunks.Kubernetes("nova", "user-service", "app", "node-a"))...)
		}
		all[fmt.Sprintf("kube.%d", c)] = chunk
	}
	noise := make([]byte, 8<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	all["noise"] = noise
	all["garbage"] = append(bytes.Clone(all["kube.0"]), 0xc1, 0xff, 0xff)
	for l := range linesPerChunk {
		sent[fmt.Sprintf("<0/%d>", l)]++
	}
	return all, sent
}

// outcome is what the host prints at the end.
type outcome struct{ done, again, errors, depth, missed, disk, left, ended int }

func runHost(t *testing.T, cmd *exec.Cmd) (o outcome) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	i := bytes.LastIndex(out, []byte("done="))
	if i < 0 {
		t.Fatalf("the host prints: %s", out)
	}
	format := "done=%d again=%d error=%d depth=%d missed=%d disk=%d left=%d ended=%d"
	if _, err := fmt.Sscanf(string(out[i:]), format, &o.done, &o.again, &o.errors, &o.depth, &o.missed, &o.disk, &o.left, &o.ended); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return o
}

// eight are chunks of eight pods.
func eight() map[string][]byte {
	all := map[string][]byte{}
	for pod := range 8 {
		all[fmt.Sprintf("kube.%d", pod)] = chunks.Line(time.Now(), fmt.Sprintf(`{"message":"<%d/0>"}`, pod), chunks.Kubernetes("nova", "feed", "app", "node-a"))
	}
	return all
}

// While the service does not answer, the input goes on with the shipped
// configuration: chunks wait on disk, and all of them are delivered.
func TestPlugin_Outage(t *testing.T) {
	c := shippedConfiguration(t)
	limit := "max_chunks_up=" + c.Service.Text("storage.max_chunks_up")
	for name, k := range map[string]struct {
		pause string
		loses bool
	}{
		"as it is shipped":          {c.Pipeline.Inputs[0].Text("storage.pause_on_chunks_overlimit"), false},
		"with a pause, in contrast": {"on", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startService(t)
			s.InjectFaults(func(put int) fakelogs.Fault {
				if put < 4 {
					return fakelogs.Fault{Refuse: "ServiceUnavailableException"}
				}
				return fakelogs.Fault{}
			})
			o := runHost(t, hostCommand(t, s, writeChunks(t, eight()), "threads=2", "tail=20", "open=20", limit, "pause="+k.pause, "flush_timeout=1s", "metric_namespace=none"))
			if (o.missed > 0) != k.loses || o.left > 0 || s.Count() != 160-o.missed {
				t.Errorf("outcome is %+v, %d are stored of 160", o, s.Count())
			}
			if !k.loses && o.disk == 0 {
				t.Error("no chunk waited on disk: the outage was too short to prove anything")
			}
		})
	}
}

// With a backlog and a service that does not answer, the process ends soon after
// Fluent Bit's grace, and chunks stay on disk. Fluent Bit's own handler is called.
func TestPlugin_EndsWithinGrace(t *testing.T) {
	s := startService(t)
	s.InjectFaults(func(int) fakelogs.Fault { return fakelogs.Fault{Refuse: "ServiceUnavailableException"} })
	o := runHost(t, hostCommand(
		t, s, writeChunks(t, eight()), "threads=2", "tail=1000", "open=100", "max_chunks_up=32", "term=1500", "grace=2", "shutdown_timeout=500ms",
	))
	if o.ended > 8000 || o.ended < 2000 || o.left == 0 || s.Count() > 0 {
		t.Errorf("outcome is %+v, %d are stored", o, s.Count())
	}
}

var idPattern = regexp.MustCompile(`<\d+/\d+>`)

// The plugin delivers with both layouts of Fluent Bit's structures, on stacks of
// both sizes, from several threads and in two instances, while the service has
// faults and the garbage collector runs all the time.
func TestPlugin_Delivers(t *testing.T) {
	for name, c := range map[string]struct{ abi, stack string }{
		"before 4.2.8, stacks of 24 KiB": {"old", "24576"},
		"before 4.2.8, stacks of 64 KiB": {"old", "65536"},
		"since then, stacks of 24 KiB":   {"new", "24576"},
		"since then, stacks of 64 KiB":   {"new", "65536"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startService(t)
			s.InjectFaults(func(put int) fakelogs.Fault {
				return map[int]fakelogs.Fault{1: {Refuse: "ThrottlingException"}, 3: {DeleteGroup: true}, 6: {Refuse: "ServiceUnavailableException"}}[put]
			})
			flushed, sent := mixedChunks(12)
			cmd := hostCommand(
				t, s, writeChunks(t, flushed), "abi="+c.abi, "stack="+c.stack, "threads=4", "instances=2",
				"@0/log_group=/a/{service}", "@1/log_group=/b/{service}", "@0/id=a", "@1/id=b",
			)
			cmd.Env = append(cmd.Env, "GOGC=1")
			o := runHost(t, cmd)
			if o.done != 2*len(flushed) || o.errors != 0 {
				t.Fatalf("outcome is %+v", o)
			}
			if o.depth > 8<<10 {
				t.Errorf("the callback used %d bytes of its stack", o.depth)
			}
			compareStored(t, s, sent)
		})
	}
}

func compareStored(t *testing.T, s *fakelogs.Server, sent map[string]int) {
	t.Helper()
	for _, group := range []string{"/a/user-service", "/b/user-service"} {
		stored, undecodable := map[string]int{}, 0
		for _, e := range s.Stored() {
			switch id := idPattern.FindString(e.Message); {
			case strings.Contains(e.Message, `"undecodable":"wf//"`):
				undecodable++
			case e.Group == group:
				stored[id]++
			}
		}
		if diff := cmp.Diff(sent, stored); diff != "" {
			t.Errorf("%s (-sent +stored):\n%.2000s", group, diff)
		}
		if undecodable != 2 {
			t.Errorf("the garbage was stored %d times by 2 instances", undecodable)
		}
	}
	for _, r := range s.Violations() {
		t.Errorf("a request broke a rule of the service: %s", r)
	}
}

func TestPlugin_RefusesConfiguration(t *testing.T) {
	s := startService(t)
	cmd := hostCommand(t, s, nil, "retention_days=6", "log_group=/nova/{pood}", "flush_timeout=1h")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it started: %s", out)
	}
	for _, want := range []string{"retention_days", "{pood}", "flush_timeout", "host: init"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nothing is said of %s: %s", want, out)
		}
	}
}

func TestPlugin_ServesMetrics(t *testing.T) {
	s := startService(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	flushed, _ := mixedChunks(1)
	cmd := hostCommand(t, s, writeChunks(t, flushed), "rounds=1000", "every=20000", "instances=2", "metrics_listen="+address, "@1/id=other", "metric_namespace=none")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	wants := []string{`novawire_logs_delivered_total{output="novawire",class="pods"}`, `novawire_logs_rejected_total{output="other",class="node",reason="too_old"} 0`}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		body := fetch("http://" + address + "/metrics")
		if strings.Contains(body, wants[0]) && strings.Contains(body, wants[1]) && !strings.Contains(body, wants[0]+" 0\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("metrics are %s", body)
		}
	}
}

func fetch(url string) string {
	response, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return string(body)
}
