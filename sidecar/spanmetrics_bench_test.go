package sidecar_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/bench"
)

// BenchmarkSpanMetrics compares the sidecar with metrics of requests with itself without
// them: memory at rest, also with redaction, and processor time per span at 5,000 spans a
// second.
func BenchmarkSpanMetrics(b *testing.B) {
	cpu, idle := "sidecar/span-metrics-cpu", "sidecar/span-metrics-idle"
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
	atRest := func(environment ...string) float64 {
		s := launchOurs(b, startSink(b), environment...)
		time.Sleep(settle)
		return s.memory("RssAnon")
	}
	const rounds = 3 // the sides take turns
	var on, off cost
	for range rounds {
		o, f := measure("NOVAWIRE_SPAN_METRICS=true"), measure()
		on, off = cost{on.cpu + o.cpu, on.private + o.private}, cost{off.cpu + f.cpu, off.private + f.private}
	}
	bench.Line(cpu, fmt.Sprintf("%.4fcores/10k", on.cpu/rounds*10_000), fmt.Sprintf("%.4fcores/10k", off.cpu/rounds*10_000), off.cpu/on.cpu)
	printMB(idle, on.private/rounds, off.private/rounds)
	both := atRest("NOVAWIRE_SPAN_METRICS=true", "NOVAWIRE_REDACT=mask preset email; mask preset card-numbers; mask preset authorization; drop key *.password; hash key enduser.id")
	printMB("sidecar/span-metrics-redaction-idle", both, off.private/rounds)
}
