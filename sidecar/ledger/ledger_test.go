package ledger

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLedger_Line(t *testing.T) {
	var stats Ledger
	a := stats.Counters(Traces)
	a.Accept(10)
	a.Refuse(Memory, 3)
	a.RefuseRequest(TooBig)
	a.Export(4)
	a.Drop(QueueFull, 2)
	a.Drop(Shutdown, 1)
	a.SetStored(2)
	if left := a.Entry().Balance(); left != 1 {
		t.Errorf("balance is %d, want the one item that is under way", left)
	}
	want := `{"ledger":{"logs":{"accepted":0,"exported":0,"refused":{},"refused_requests":{},"dropped":{},"stored":0},` +
		`"metrics":{"accepted":0,"exported":0,"refused":{},"refused_requests":{},"dropped":{},"stored":0},` +
		`"traces":{"accepted":10,"exported":4,"refused":{"memory":3},"refused_requests":{"too_big":1},"dropped":{"queue_full":2,"shutdown":1},"stored":2}}}` + "\n"
	if diff := cmp.Diff(want, string(stats.Line())); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// A termination message has 4096 bytes.
func TestLedger_Line_FitsTerminationMessage(t *testing.T) {
	var stats Ledger
	const many = 1 << 62
	for _, s := range Signals {
		a := stats.Counters(s)
		a.Restore(Totals{Accepted: many, Exported: many})
		a.SetStored(many)
		for r := range refusals {
			a.Refuse(r, many)
		}
		for r := range badRequests {
			a.requests[r].Store(many)
		}
		for r := range reasons {
			a.Drop(r, many)
		}
	}
	if n := len(stats.Line()); n > 4096 {
		t.Errorf("the line has %d bytes", n)
	}
}

func TestLedger_WriteMetrics(t *testing.T) {
	var stats Ledger
	var text bytes.Buffer
	stats.WriteMetrics(&text)
	series := 0
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		series++
		if !strings.HasSuffix(line, " 0\n") || !strings.HasPrefix(line, "novawire_sidecar_") {
			t.Errorf("series is %q", line)
		}
	}
	if want := 3 * (5 + int(refusals) + int(badRequests) + int(reasons)); series != want {
		t.Errorf("%d series, want %d", series, want)
	}
}
