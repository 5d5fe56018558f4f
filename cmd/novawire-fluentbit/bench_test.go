//go:build cgo

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/nova/novawire/fluentbit"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/internal/testing/bench"
	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/logsbaseline"
)

// benchmarkChunk returns a chunk of lines of a service of Nova, with the metadata
// of Fluent Bit's kubernetes filter.
func benchmarkChunk(lines int) (chunk []byte) {
	kubernetes := chunks.Raw(chunks.Append(nil, chunks.Kubernetes("nova", "user-service", "app", "node-a")))
	for l := range lines {
		at := chunks.Noon.Add(time.Duration(l) * time.Millisecond)
		line := fmt.Sprintf(
			`{"timestamp":%q,"level":"INFO","fields":{"message":"request handled","http.response.status_code":200,"elapsed_ms":%d.25,"user_id":%d},"target":"user_service::http",`+
				`"span":{"method":"GET","path":"/v1/users/%d","span_id":"00f067aa0ba902b7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","name":"request"},`+
				`"spans":[{"method":"GET","path":"/v1/users/%d","span_id":"00f067aa0ba902b7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","name":"request"}]}`,
			at.Format("2006-01-02T15:04:05.000000Z"), l%90, l, l, l,
		)
		chunk = append(chunk, chunks.Line(at, line, kubernetes)...)
	}
	return chunk
}

// discardService joins the entries of a request and discards them.
type discardService struct{ bytes int }

func (b *discardService) Put(_ context.Context, _, _ string, entries [][]byte) (delivery.Rejected, error) {
	b.bytes += len(bytes.Join(entries, []byte(",")))
	return delivery.Rejected{}, nil
}

func (*discardService) CreateGroup(context.Context, string) error          { return nil }
func (*discardService) CreateStream(context.Context, string, string) error { return nil }
func (*discardService) SetRetention(context.Context, string, int) error    { return nil }

// benchmarkLines is the number of lines of a chunk. They need more than one
// request.
const benchmarkLines = 4000

// BenchmarkLines measures how many lines one second of processor time turns from
// a chunk into request bodies, garbage collection included. The plugin and the
// baseline take turns.
func BenchmarkLines(b *testing.B) {
	bench.Skip(b, "logs/lines")
	chunk := benchmarkChunk(benchmarkLines)
	ours := flushes(b, chunk, "")
	peer := func() {
		if n := len(logsbaseline.Batches(unsafe.Pointer(&chunk[0]), len(chunk))); n < 2 {
			b.Fatalf("%d batches", n)
		}
	}
	var our, their []float64
	for range bench.Rounds {
		our, their = append(our, linesPerCPUSecond(ours)), append(their, linesPerCPUSecond(peer))
	}
	o, p := median(our), median(their)
	bench.Line("logs/lines", fmt.Sprintf("%.0flines/s", o), fmt.Sprintf("%.0flines/s", p), o/p)
}

// fiveRules are rules of each kind, and of the presets that look at most texts.
const fiveRules = "mask preset authorization; mask preset email; mask preset card-numbers; drop key *.password; mask value ACCT-[0-9]{8}"

// BenchmarkRedaction measures lines a second with five rules beside none, in turn. The
// lines hold nothing to redact, as most do.
func BenchmarkRedaction(b *testing.B) {
	bench.Skip(b, "logs/redaction")
	chunk := benchmarkChunk(benchmarkLines)
	with, without := flushes(b, chunk, fiveRules), flushes(b, chunk, "")
	var rules, none []float64
	for range bench.Rounds {
		rules, none = append(rules, linesPerCPUSecond(with)), append(none, linesPerCPUSecond(without))
	}
	r, n := median(rules), median(none)
	bench.Line("logs/redaction", fmt.Sprintf("%.0flines/s", r), fmt.Sprintf("%.0flines/s", n), r/n)
}

// flushes returns a function that delivers a chunk to a service that discards it.
func flushes(b *testing.B, chunk []byte, redact string) func() {
	b.Helper()
	config, err := fluentbit.ParseConfig(func(key string) string {
		return map[string]string{"region": "eu-west-1", "metric_namespace": "none", "redact": redact}[key]
	})
	if err != nil {
		b.Fatal(err)
	}
	// Requests follow each other as fast as they can: only deadlines wait.
	clock := delivery.Clock{Now: time.Now, Wait: func(ctx context.Context, d time.Duration) error {
		if d < config.FlushTimeout {
			return ctx.Err()
		}
		return wait(ctx, d)
	}}
	output := fluentbit.New(config, fluentbit.Settings{Service: &discardService{}, Clock: clock, Limiter: delivery.NewRateLimiter(), OnError: func(err error) { b.Error(err) }})
	b.Cleanup(output.Close)
	return func() {
		if output.Flush(chunk, "kube.x") != fluentbit.OK {
			b.Fatal("a chunk was not done")
		}
	}
}

// linesPerCPUSecond returns how many lines work handles in a second of processor
// time.
func linesPerCPUSecond(work func()) float64 {
	work() // warm
	start, began, times := cpuTime(), time.Now(), 0
	for ; time.Since(began) < 300*time.Millisecond; times++ {
		work()
	}
	return float64(times*benchmarkLines) / (cpuTime() - start).Seconds()
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic("read the process's own usage: " + err.Error())
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkMemory measures the resident memory of the C host at 10,000 lines a
// second, with the plugin and with the baseline.
func BenchmarkMemory(b *testing.B) {
	bench.Skip(b, "logs/memory")
	if _, err := build(); err != nil {
		b.Fatal(err)
	}
	baseline := filepath.Join(b.TempDir(), "baseline.so")
	if out, err := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags", "-s -w", "-o", baseline, "./testdata/baseline").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	ours, peer := maxResidentSet(b, "ours", ""), maxResidentSet(b, "baseline", baseline)
	bench.Line("logs/memory", fmt.Sprintf("%.1fMB", ours/1e6), fmt.Sprintf("%.1fMB", peer/1e6), peer/ours)
}

// maxResidentSet returns the largest resident set of the host during 30 seconds,
// in bytes.
func maxResidentSet(b *testing.B, name, plugin string) (most float64) {
	b.Helper()
	s := startService(b)
	s.CreateStream("/baseline", "stream")
	s.DiscardEvents()
	var paths []string
	for i := range 4 {
		paths = append(paths, writeChunks(b, map[string][]byte{fmt.Sprintf("kube.%d", i): withCurrentTimes(benchmarkChunk(500))})...)
	}
	// Four threads flush 500 lines each, five times a second.
	cmd := hostCommand(b, s, paths, "threads=4", "rounds=1000000", "every=200000")
	if plugin != "" {
		cmd.Args[1] = plugin
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	began := time.Now()
	for time.Since(began) < 30*time.Second {
		time.Sleep(250 * time.Millisecond)
		most = max(most, residentSet(b, cmd.Process.Pid))
	}
	if lines := float64(s.Count()) / time.Since(began).Seconds(); lines < 9000 {
		b.Errorf("%s: %.0f lines a second arrived", name, lines)
	}
	return most
}

// withCurrentTimes replaces the times of the records of a chunk by the current
// time.
func withCurrentTimes(chunk []byte) []byte {
	from := chunks.Append(nil, chunks.EventTime(chunks.Noon))[2:6]
	to := chunks.Append(nil, chunks.EventTime(time.Now()))[2:6]
	return bytes.ReplaceAll(chunk, append([]byte{0xd7, 0}, from...), append([]byte{0xd7, 0}, to...))
}

func residentSet(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) * 1024
}
