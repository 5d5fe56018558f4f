package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nova/novawire/internal/testing/bench"
)

// BenchmarkDrift has 5,000 pods, a tenth of them created while the manager is away, and
// compares the manager with the figures that were asked for: the time from its start until all
// are reported, its memory, and its share of a core while nothing changes.
func BenchmarkDrift(b *testing.B) {
	bench.Skip(b, "drift/pods")
	const pods, missed, namespaces = 5000, 500, 10
	m := startManager(b)
	names := make([]string, namespaces)
	for i := range names {
		names[i] = m.namespace(nil)
	}
	m.createPods(names, pods-missed)
	if err := m.stop(); err != nil {
		b.Fatal(err)
	}
	m.createPods(names, missed)
	back := time.Now()
	m.start()
	m.eventually("all reported", func() bool {
		wired, missing := 0.0, 0.0
		for _, ns := range names {
			wired += m.metric(`novawire_pods{namespace="` + ns + `",state="wired"}`)
			missing += m.metric(`novawire_pods{namespace="` + ns + `",state="missing"}`)
		}
		return wired == pods-missed && missing == missed
	})
	took := time.Since(back)
	bench.Line("drift/pods", took.Round(10*time.Millisecond).String(), "10s", 10/took.Seconds())
	used := peakMemory(b, m.process.Process.Pid)
	bench.Line("drift/memory", fmt.Sprintf("%.1fMiB", float64(used)/(1<<20)), "128MiB", 128<<20/float64(used))
	time.Sleep(10 * time.Second) // the Events are sent
	const steady = 30 * time.Second
	before := processorTime(b, m.process.Process.Pid)
	time.Sleep(steady)
	share := (processorTime(b, m.process.Process.Pid) - before).Seconds() / steady.Seconds()
	bench.Line("drift/steady", fmt.Sprintf("%.2f%%", 100*share), "2%", 0.02/share)
}

// createPods creates pods in turn in the namespaces.
func (m *environment) createPods(namespaces []string, n int) {
	m.Helper()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := worker; i < n; i += 8 {
				pod := owned(podIn(namespaces[i%len(namespaces)]), "apps/v1", "StatefulSet", fmt.Sprintf("app-%d", i/len(namespaces)%10))
				if err := m.client.Create(m.Context(), pod); err != nil {
					m.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// processorTime is the time that a process has used, user and system.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name, which can have spaces
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}
