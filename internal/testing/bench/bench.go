// Package bench measures two ways of doing one thing beside each other, in one
// run, and prints the result as a line that people and scripts compare:
//
//	bench: inject/small ours=41µs peer=348µs better=8.5x
//
// It knows nothing of what it measures, and it judges nothing: a figure is a
// ratio from one run, because the machines are shared and noisy.
package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Selected tells whether the benchmark is asked for. NOVAWIRE_BENCH holds "/"
// and a prefix of the names wanted; without it none is, so that a plain
// `go test -bench .` runs the ordinary benchmarks alone.
func Selected(name string) bool {
	prefix, on := strings.CutPrefix(os.Getenv("NOVAWIRE_BENCH"), "/")
	return on && strings.HasPrefix(name, prefix)
}

// Skip skips the benchmark where it was not asked for.
func Skip(b *testing.B, name string) {
	b.Helper()
	if !Selected(name) {
		b.Skipf("run it with: make bench BENCH=%s", name)
	}
}

// Rounds is how often each side is measured; the sides take turns, so that what
// else the machine does hurts both alike.
const Rounds = 7

// Compare measures two functions that only compute, by the processor time that
// the process takes per call, its garbage collector's included, and prints a
// line with the medians. Processor time does not grow while others have the
// machine, as time on the clock does. Each round calls a side as often as fits
// in about 150 ms.
func Compare(b *testing.B, name string, ours, peer func()) {
	b.Helper()
	Skip(b, name)
	a, p := calls(ours), calls(peer)
	var our, their []time.Duration
	for range Rounds {
		our = append(our, perCall(ours, a))
		their = append(their, perCall(peer, p))
	}
	o, t := median(our), median(their)
	Line(name, o.String(), t.String(), float64(t)/float64(o))
}

// Line prints one result. better says how many times ours is better: above 1 is good.
func Line(name, ours, peer string, better float64) {
	fmt.Printf("\nbench: %s ours=%s peer=%s better=%.1fx\n", name, ours, peer, better)
}

const round = 150 * time.Millisecond

// calls finds how many calls fill a round; finding out is the warm-up.
func calls(f func()) int {
	for n := 1; ; n *= 2 {
		if took := perCall(f, n) * time.Duration(n); took > round/4 {
			return max(1, int(float64(n)*float64(round)/float64(took)))
		}
	}
}

func perCall(f func(), n int) time.Duration {
	start := processorTime()
	for range n {
		f()
	}
	return (processorTime() - start) / time.Duration(n)
}

// processorTime is what the process has used of all cores, in user and kernel.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic("read the process's own usage: " + err.Error())
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func median[T time.Duration | float64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
