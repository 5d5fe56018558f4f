// Package bench measures two implementations beside each other in one run and prints
// the result as a line for people and scripts:
//
//	bench: inject/small ours=41µs peer=348µs better=8.5x
//
// The figure to compare is the ratio within one run, because the machines are shared
// and noisy. The package does not fail a benchmark.
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

// Selected reports whether the benchmark was requested. NOVAWIRE_BENCH holds "/" and
// a prefix of the names. If it is unset, none is selected, so that a plain
// `go test -bench .` runs the ordinary benchmarks only.
func Selected(name string) bool {
	prefix, on := strings.CutPrefix(os.Getenv("NOVAWIRE_BENCH"), "/")
	return on && strings.HasPrefix(name, prefix)
}

// Skip skips the benchmark if it was not requested.
func Skip(b *testing.B, name string) {
	b.Helper()
	if !Selected(name) {
		b.Skipf("run it with: make bench BENCH=%s", name)
	}
}

// Rounds is the number of measurements of each side. The sides take turns, so that
// other load on the machine affects both.
const Rounds = 7

// Compare measures the processor time per call of two functions that only compute,
// garbage collection included, and prints a line with the medians. Unlike elapsed
// time, processor time does not grow under other load. Each round calls a function
// for about 150 ms.
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

// Line prints one result. better is the ratio; above 1 ours is better.
func Line(name, ours, peer string, better float64) {
	fmt.Printf("\nbench: %s ours=%s peer=%s better=%.1fx\n", name, ours, peer, better)
}

const round = 150 * time.Millisecond

// calls returns how many calls fill a round. It also warms up the function.
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

// processorTime returns the user and system time of the process on all cores.
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
