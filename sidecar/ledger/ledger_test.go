package ledger

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/api/redaction"
)

func TestLedger_Line(t *testing.T) {
	var stats Ledger
	a := stats.Counters(Traces)
	a.Accept(10, 700)
	a.Refuse(Memory, 3)
	a.RefuseRequest(TooBig)
	a.Export(4)
	a.ExportBytes(300)
	a.Drop(QueueFull, 2)
	a.Drop(Shutdown, 1)
	a.SetStored(2)
	if left := a.Entry().Balance(); left != 1 {
		t.Errorf("balance is %d, want the one item that is under way", left)
	}
	want := `{"ledger":{"traces":{"accepted":10,"exported":4,"accepted_bytes":700,"exported_bytes":300,"stored":2,` +
		`"refused":{"memory":3},"refused_requests":{"too_big":1},"dropped":{"queue_full":2,"shutdown":1}},` +
		`"metrics":{"accepted":0,"exported":0,"accepted_bytes":0,"exported_bytes":0,"stored":0},` +
		`"logs":{"accepted":0,"exported":0,"accepted_bytes":0,"exported_bytes":0,"stored":0}}}` + "\n"
	if diff := cmp.Diff(want, string(stats.Line())); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// A termination message has 4096 bytes.
func TestLedger_Line_FitsTerminationMessage(t *testing.T) {
	var stats Ledger
	const many = 1 << 62
	rules := make([]string, redaction.MaxNames)
	for i := range rules {
		rules[i] = strings.Repeat("x", redaction.MaxName)
	}
	stats.SetRules(rules)
	for _, s := range Signals {
		a := stats.Counters(s)
		for i := range rules {
			a.redacted[i].Store(many / 32)
		}
		restored := Totals{Accepted: many, Exported: many}
		for r := range restored.Dropped {
			restored.Dropped[r] = many
		}
		a.Restore(restored)
		a.Accept(0, many)
		a.ExportBytes(many)
		a.SetStored(many)
		for r := range refusals {
			a.Refuse(r, many)
		}
		for r := range badRequests {
			a.requests[r].Store(many)
		}
	}
	line := stats.Line()
	if len(line) > 4096 {
		t.Errorf("the line has %d bytes", len(line))
	}
	var m ledgerapi.Message
	if err := json.Unmarshal(line, &m); err != nil || m.Ledger["logs"].Redacted["all"] != redaction.MaxNames*(many/32) {
		t.Errorf("the line has no sum of redactions: %v\n%s", err, line)
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
	if want := 3 * (7 + int(refusals) + int(badRequests) + int(reasons)); series != want {
		t.Errorf("%d series, want %d", series, want)
	}
}

func TestLedger_Redact(t *testing.T) {
	var stats Ledger
	stats.SetRules([]string{"email", "pins"})
	stats.Counters(Logs).Redact([redaction.MaxNames]int{1: 3})
	if diff := cmp.Diff(map[string]int64{"pins": 3}, stats.Entries()["logs"].Redacted); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	var text bytes.Buffer
	stats.WriteMetrics(&text)
	for _, want := range []string{`novawire_sidecar_redacted_total{signal="logs",rule="pins"} 3`, `novawire_sidecar_redacted_total{signal="traces",rule="email"} 0`} {
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, text.String())
		}
	}
}

// A sidecar that is killed leaves its ledger as it was when the last request was answered.
func TestLedger_Mirror(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stats Ledger
	if err := stats.Mirror(path); err != nil {
		t.Fatal(err)
	}
	read := func() ledgerapi.Message {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ledgerapi.ParseMessage(text)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := read(); !m.Running || m.Ledger["traces"].Accepted != 0 {
		t.Errorf("at the start: %+v", m)
	}
	a := stats.Counters(Traces)
	for name, step := range map[string]struct {
		count func()
		of    func(Entry) int64
	}{
		"accepted":         {func() { a.Accept(3, 10) }, func(e Entry) int64 { return e.Accepted }},
		"exported":         {func() { a.Export(1) }, func(e Entry) int64 { return e.Exported }},
		"dropped":          {func() { a.Drop(QueueFull, 1) }, func(e Entry) int64 { return e.Dropped["queue_full"] }},
		"refused":          {func() { a.Refuse(Memory, 1) }, func(e Entry) int64 { return e.Refused["memory"] }},
		"refused requests": {func() { a.RefuseRequest(TooBig) }, func(e Entry) int64 { return e.RefusedRequests["too_big"] }},
		"restored":         {func() { stats.Counters(Logs).Restore(Totals{Accepted: 5, Exported: 5}) }, func(Entry) int64 { return read().Ledger["logs"].Restored.Accepted }},
	} {
		step.count()
		if n := step.of(read().Ledger["traces"]); n == 0 {
			t.Errorf("%s: not in the file", name)
		}
	}
	a.accepted.Store(1 << 40)
	a.changed()
	a.accepted.Store(1) // shorter
	a.changed()
	if m := read(); m.Ledger["traces"].Accepted != 1 {
		t.Errorf("after a longer line: %+v", m)
	}
	if err := stats.Close(); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	if diff := cmp.Diff(string(stats.Line()), string(text)); diff != "" {
		t.Errorf("the final line (-want +got):\n%s", diff)
	}
}

func TestLedger_Mirror_WithoutAPod(t *testing.T) {
	var stats Ledger
	if err := stats.Mirror(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	stats.Counters(Logs).Accept(1, 1)
	if err := stats.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkMirror is what one request pays.
func BenchmarkMirror(b *testing.B) {
	path := filepath.Join(b.TempDir(), "termination-log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	var stats Ledger
	if err := stats.Mirror(path); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		stats.Counters(Traces).Accept(100, 10_000)
	}
}

// The manager knows each reason that a sidecar counts by.
func TestLedger_ReasonsAreKnown(t *testing.T) {
	var stats Ledger
	c := stats.Counters(Logs)
	for i := range refusals {
		c.Refuse(i, 1)
	}
	for i := range badRequests {
		c.RefuseRequest(i)
	}
	for i := range reasons {
		c.Drop(i, 1)
	}
	m, err := ledgerapi.ParseMessage(stats.Line())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Entry(), m.Ledger[ledgerapi.Logs]); diff != "" {
		t.Errorf("-counted +read:\n%s", diff)
	}
}
