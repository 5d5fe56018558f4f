package ledger

import (
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/testing/fakeotlp"
)

// Pods come and go in every way. The stored account has each item once: with the backend it
// agrees to the item, but for what killed sidecars held.
func TestKeeper_Churn(t *testing.T) {
	e := newEnvironment(t)
	first := e.replica()
	stop := first.lead()
	var second *replica
	traces := func(service string) ledgerapi.Entry { return e.stored()[service].Signals[ledgerapi.Traces] }
	counted := func(service string, pods int) func() bool {
		return func() bool { return e.stored()[service].GonePods == pods }
	}
	exact := func(service string, pods ...*pod) {
		t.Helper()
		var accepted int64
		for _, p := range pods {
			accepted += p.accepted
		}
		s := e.stored()[service]
		if got := s.Signals[ledgerapi.Traces]; got.Accepted != accepted || got.Exported != accepted || got.ExportedBytes == 0 || s.UnknownRuns != 0 {
			t.Errorf("%s accepted %d; the account has %+v", service, accepted, s)
		}
	}

	t.Run("a pod that runs is in the account", func(t *testing.T) {
		p := e.pod("runs")
		p.delivered(11)
		e.eventually("its ledger is stored", func() bool { return traces("runs").Exported == 11 })
		if s := e.stored()["runs"]; s.Pods != 1 || s.GonePods != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("a pod that ends is counted once", func(t *testing.T) {
		p := e.pod("ends")
		p.delivered(10)
		p.end(syscall.SIGTERM)
		p.reportEnd()
		e.eventually("the end is stored", func() bool { return traces("ends").Exported == 10 })
		p.delete()
		e.eventually("counted", counted("ends", 1))
		exact("ends", p)
	})
	t.Run("what a killed sidecar held is unaccounted, and the runs of a pod are added up", func(t *testing.T) {
		p := e.pod("killed")
		p.delivered(10)
		e.backend.Misbehave(func(int) fakeotlp.Fault { return fakeotlp.Fault{Refuse: fakeotlp.Busy} })
		p.send(7)
		p.end(syscall.SIGKILL)
		e.backend.Misbehave(nil)
		p.reportEnd()
		p.start()
		p.delivered(5)
		p.end(syscall.SIGTERM)
		p.reportEnd()
		p.delete()
		e.eventually("counted", counted("killed", 1))
		if got := traces("killed"); got.Accepted != 22 || got.Exported != 15 || got.Unaccounted != 7 || got.Balance() != 0 {
			t.Errorf("the account has %+v", got)
		}
	})
	t.Run("a pod whose object is removed before its end is asked for its last ledger", func(t *testing.T) {
		p := e.pod("forced")
		p.delivered(10)
		p.delete()
		e.eventually("it is asked", func() bool { return len(first.observer.asker.finals) == 1 })
		p.delivered(3)
		p.end(syscall.SIGTERM)
		e.eventually("counted", counted("forced", 1))
		exact("forced", p)
	})
	t.Run("a pod that vanishes keeps what was read last, and is unknown", func(t *testing.T) {
		p := e.pod("vanishes")
		p.delivered(10)
		e.eventually("its ledger is stored", func() bool { return traces("vanishes").Exported == 10 })
		p.end(syscall.SIGKILL)
		p.delete()
		e.eventually("counted", counted("vanishes", 1))
		if s := e.stored()["vanishes"]; s.UnknownRuns != 1 || s.Signals[ledgerapi.Traces].Accepted != 10 {
			t.Errorf("the account has %+v", s)
		}
	})
	t.Run("nothing is written while nothing changes", func(t *testing.T) {
		p := e.pod("later")
		p.delivered(1)
		e.eventually("its ledger is stored", func() bool { return traces("later").Exported == 1 })
		writes, asks := len(e.writes.All()), first.asks.Load()
		e.eventually("all are read again and again", func() bool { return first.asks.Load() > asks+20 })
		if n := len(e.writes.All()) - writes; n > 0 {
			t.Errorf("%d writes without a change", n)
		}
	})
	t.Run("another leader goes on, with what it saw before", func(t *testing.T) {
		second = e.replica()
		p, away := e.pod("handed"), e.pod("away")
		p.delivered(4)
		away.delivered(4)
		e.eventually("stored", func() bool { return traces("handed").Exported == 4 && traces("away").Exported == 4 })
		stop()
		p.delivered(4)
		p.end(syscall.SIGTERM)
		p.reportEnd()
		p.delete()
		before := e.stored()
		stop = second.lead()
		e.eventually("counted", counted("handed", 1))
		exact("handed", p)
		for name, s := range before {
			if now := e.stored()[name]; name != "handed" && now.Signals[ledgerapi.Traces].Accepted != s.Signals[ledgerapi.Traces].Accepted {
				t.Errorf("%s was %+v, is %+v", name, s, now)
			}
		}
		if n := testutil.CollectAndCount(second.metrics, "novawire_telemetry_items_total"); n == 0 {
			t.Error("the leader has no metrics")
		}
	})
	t.Run("a pod that ends while no replica watches keeps what was stored, and is unknown", func(t *testing.T) {
		p := e.pod("unseen")
		p.delivered(6)
		e.eventually("stored", func() bool { return traces("unseen").Exported == 6 })
		stop()
		first.stop()
		second.stop()
		p.delivered(2)
		p.end(syscall.SIGTERM)
		p.delete()
		e.replica().lead()
		e.eventually("counted", counted("unseen", 1))
		if s := e.stored()["unseen"]; s.UnknownRuns != 1 || s.Signals[ledgerapi.Traces].Accepted != 6 {
			t.Errorf("the account has %+v", s)
		}
	})
	var sum ledgerapi.Entry
	for _, s := range e.stored() {
		sum = sum.Plus(s.Signals[ledgerapi.Traces])
	}
	// Two spans were counted by a sidecar that nobody heard.
	if took := int64(len(e.backend.Taken("traces"))); sum.Exported != took-2 || sum.Balance() != 0 {
		t.Errorf("the backend took %d; the account has %+v", took, sum)
	}
}
