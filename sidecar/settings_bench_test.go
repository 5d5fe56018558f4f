package sidecar_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/bench"
)

const (
	withSpanMetrics = "NOVAWIRE_SPAN_METRICS=true"
	// fiveRules are rules of each kind, and of the presets that look at most texts.
	fiveRules = "NOVAWIRE_REDACT=mask preset authorization; mask preset email; mask preset card-numbers; drop key *.password; mask value ACCT-[0-9]{8}"
)

// BenchmarkSpanMetrics compares the sidecar with metrics of requests with itself without
// them.
func BenchmarkSpanMetrics(b *testing.B) { compareSettings(b, "sidecar/span-metrics", withSpanMetrics) }

// BenchmarkRedaction compares the sidecar with five rules of redaction with itself without
// them. The spans hold nothing to redact, as most do.
func BenchmarkRedaction(b *testing.B) { compareSettings(b, "sidecar/redaction", fiveRules) }

// BenchmarkSpanMetricsRedaction measures the memory at rest with both.
func BenchmarkSpanMetricsRedaction(b *testing.B) {
	name := "sidecar/span-metrics-redaction-idle"
	bench.Skip(b, name)
	atRest := func(environment ...string) float64 {
		s := launchOurs(b, startSink(b), environment...)
		time.Sleep(settle)
		return s.memory("RssAnon")
	}
	printMB(name, atRest(withSpanMetrics, fiveRules), atRest())
}

// compareSettings measures the sidecar with settings and without: memory at rest, and
// processor time per span at 5,000 spans a second.
func compareSettings(b *testing.B, name string, settings ...string) {
	b.Helper()
	cpu, idle := name+"-cpu", name+"-idle"
	if !bench.Selected(cpu) && !bench.Selected(idle) {
		bench.Skip(b, cpu)
	}
	type cost struct{ cpu, private float64 }
	measure := func(environment ...string) cost {
		to := startSink(b)
		s := launchOurs(b, to, environment...)
		time.Sleep(settle)
		private := s.memory("RssAnon")
		app := newClient(b, s.otlp)
		stop := app.pace(5000)
		defer stop()
		time.Sleep(window)
		before, spans := s.cpu(), to.spans.Load()
		time.Sleep(window)
		return cost{(s.cpu() - before).Seconds() / float64(to.spans.Load()-spans), private}
	}
	const rounds = 3 // the sides take turns
	var on, off cost
	for range rounds {
		o, f := measure(settings...), measure()
		on, off = cost{on.cpu + o.cpu, on.private + o.private}, cost{off.cpu + f.cpu, off.private + f.private}
	}
	bench.Line(cpu, fmt.Sprintf("%.4fcores/10k", on.cpu/rounds*10_000), fmt.Sprintf("%.4fcores/10k", off.cpu/rounds*10_000), off.cpu/on.cpu)
	printMB(idle, on.private/rounds, off.private/rounds)
}
