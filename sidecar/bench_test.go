package sidecar_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/bench"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// A side is a collector under measurement: ours, or the stock build with the
// same pipeline and its default batch processor.
type side struct {
	b    *testing.B
	path string
	otlp string
	pid  int
}

// runSides runs measure on each of the two in turn, never at once.
func runSides[T any](b *testing.B, measure func(side, *sink) T) (ours, stock T) {
	b.Helper()
	run := func(launch func(*testing.B, *sink) side) T {
		to := startSink(b)
		s := launch(b, to)
		return measure(s, to)
	}
	return run(func(b *testing.B, to *sink) side { return launchOurs(b, to) }), run(launchStock)
}

func launchOurs(b *testing.B, to *sink, environment ...string) side {
	b.Helper()
	path, err := program()
	if err != nil {
		b.Fatal(err)
	}
	otlp := freeAddress(b)
	environment = append(environment, "NOVAWIRE_ENDPOINT=http://"+to.address, "NOVAWIRE_LISTEN="+otlp, "NOVAWIRE_METRICS_LISTEN="+freeAddress(b))
	return launch(b, otlp, path, nil, environment...)
}

const stockConfig = `
receivers: {otlp: {protocols: {grpc: {endpoint: %q}, http: {endpoint: %q}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 64, spike_limit_mib: 12}, batch: {}}
exporters: {otlp_grpc: {endpoint: %q, tls: {insecure: true}}}
service:
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}
  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_grpc]}
    metrics: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_grpc]}
    logs: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_grpc]}
`

func launchStock(b *testing.B, to *sink) side {
	b.Helper()
	path := prerequisite.Path(b, "NOVAWIRE_STOCK_COLLECTOR", "stock_collector")
	otlp, config := freeAddress(b), filepath.Join(b.TempDir(), "config.yaml")
	_, metrics, _ := strings.Cut(freeAddress(b), ":")
	text := fmt.Sprintf(stockConfig, otlp, freeAddress(b), to.address, metrics)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return launch(b, otlp, path, []string{"--config", config}, "GOMAXPROCS=1")
}

func launch(b *testing.B, otlp, path string, args []string, environment ...string) side {
	b.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = environment
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	app := newClient(b, otlp)
	eventually(b, path+" takes spans", func() bool { return app.send(app.spans(1, 0)) == nil })
	return side{b: b, path: path, otlp: otlp, pid: cmd.Process.Pid}
}

func (s side) memory(field string) float64 { return float64(memoryOf(s.b, s.pid, field)) }

// cpu is the time that all threads have run, to the nanosecond.
func (s side) cpu() (all time.Duration) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		ns, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		all += time.Duration(ns)
	}
	return all
}

const megabyte = 1e6

func printMB(name string, ours, stock float64) {
	bench.Line(name, fmt.Sprintf("%.1fMB", ours/megabyte), fmt.Sprintf("%.1fMB", stock/megabyte), stock/ours)
}

func BenchmarkBinary(b *testing.B) {
	bench.Skip(b, "sidecar/binary")
	ours, err := program()
	if err != nil {
		b.Fatal(err)
	}
	stock := prerequisite.Path(b, "NOVAWIRE_STOCK_COLLECTOR", "stock_collector")
	size := func(path string) float64 {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size())
	}
	printMB("sidecar/binary", size(ours), size(stock))
}

// settle is how long a process may rest before it counts as idle.
const settle = 15 * time.Second

func BenchmarkIdle(b *testing.B) {
	if !bench.Selected("sidecar/idle-private") && !bench.Selected("sidecar/idle-rss") {
		bench.Skip(b, "sidecar/idle")
	}
	type idle struct{ private, rss float64 }
	ours, stock := runSides(b, func(s side, _ *sink) idle {
		time.Sleep(settle)
		return idle{s.memory("RssAnon"), s.memory("VmRSS")}
	})
	printMB("sidecar/idle-private", ours.private, stock.private)
	printMB("sidecar/idle-rss", ours.rss, stock.rss)
}

// window is how long a load is measured, after as long again to warm up.
const window = 10 * time.Second

func BenchmarkLoad(b *testing.B) {
	for _, load := range []struct {
		name string
		rate int // spans a second
	}{{"100", 100}, {"1k", 1000}, {"5k", 5000}} {
		b.Run(load.name, func(b *testing.B) {
			rss, cpu := "sidecar/rss-"+load.name, "sidecar/cpu-"+load.name
			if !bench.Selected(rss) && !bench.Selected(cpu) {
				bench.Skip(b, rss)
			}
			type cost struct{ rss, cpu float64 }
			ours, stock := runSides(b, func(s side, to *sink) cost {
				app := newClient(b, s.otlp)
				stop := app.pace(load.rate)
				defer stop()
				time.Sleep(window)
				cpu, spans := s.cpu(), to.spans.Load()
				time.Sleep(window)
				perSpan := (s.cpu() - cpu).Seconds() / float64(to.spans.Load()-spans)
				return cost{s.memory("VmRSS"), perSpan}
			})
			printMB(rss, ours.rss, stock.rss)
			bench.Line(cpu, fmt.Sprintf("%.3fcores/10k", ours.cpu*10_000), fmt.Sprintf("%.3fcores/10k", stock.cpu*10_000), stock.cpu/ours.cpu)
		})
	}
}

// BenchmarkSaturation counts what a second of one core carries from end to end
// when there is always more to do, and nothing is dropped.
func BenchmarkSaturation(b *testing.B) {
	bench.Skip(b, "sidecar/saturation")
	ours, stock := runSides(b, func(s side, to *sink) float64 {
		app := newClient(b, s.otlp)
		stop := app.flood(to)
		defer stop()
		time.Sleep(window / 2)
		cpu, spans := s.cpu(), to.spans.Load()
		time.Sleep(window)
		return float64(to.spans.Load()-spans) / (s.cpu() - cpu).Seconds()
	})
	bench.Line("sidecar/saturation", fmt.Sprintf("%.0fspans/s", ours), fmt.Sprintf("%.0fspans/s", stock), ours/stock)
}
