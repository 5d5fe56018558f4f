package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/nova/novawire/api/injection"
	ledgerapi "github.com/nova/novawire/api/ledger"
	"github.com/nova/novawire/internal/telemetry"
	"github.com/nova/novawire/webhook/diagnosis"
	"github.com/nova/novawire/webhook/inject"
)

// Names from the cluster are neither commands for a terminal nor lines of a table.
func TestTables_Hostile(t *testing.T) {
	const hostile = "a\x1b[2Jb\nnova\tc\u202e\xff"
	service := telemetry.Service{Service: ledgerapi.Service{Namespace: hostile, Name: hostile, Signals: map[string]ledgerapi.Entry{
		ledgerapi.Logs: {Accepted: 1, Dropped: map[string]int64{hostile: 1}},
	}}}
	pod := podDetail{Name: "p", State: injection.PodStates()[0], Configuration: hostile, Reason: hostile}
	status := &clusterStatus{Notes: []string{hostile}, Namespaces: []namespaceStatus{{
		Name: "nova", Configuration: hostile, Workloads: []workloadStatus{{Kind: "Deployment", Name: "w", Reasons: map[string]int{hostile: 1}, Details: []podDetail{pod}}},
	}}}
	var out bytes.Buffer
	for _, write := range []func() error{
		func() error {
			return writeTelemetry(&out, telemetry.Report{Services: []telemetry.Service{service}}, false)
		},
		func() error {
			return writeTelemetry(&out, telemetry.Report{Services: []telemetry.Service{service}}, true)
		},
		func() error { return status.writeTable(&out, false, false, time.Now()) },
		func() error { return status.writeTable(&out, true, false, time.Now()) },
		func() error { return status.writeTable(&out, true, true, time.Now()) },
		func() error {
			found := diagnosis.Finding{Cause: diagnosis.PolicyGaveUp, Text: hostile}
			return (&explanation{Kind: "Pod", Pods: []podExplanation{{Name: "p", Finding: &found}}, result: inject.Result{
				Decision:    inject.Decision{Notes: []inject.Note{{Detail: hostile}}},
				Explanation: []inject.Line{{Subject: hostile, Source: hostile, Value: hostile}},
			}}).write(&out, "")
		},
		func() error {
			cmd := &cobra.Command{}
			cmd.SetOut(&out)
			return writeVerifications(cmd, []verification{{Verdict: verified, Text: hostile, Version: hostile, Configuration: hostile, Collector: hostile}}, "")
		},
		func() error { _, err := out.WriteString(line([]string{hostile, "plain"})); return err },
	} {
		must(t, write())
	}
	text := out.String()
	if strings.ContainsAny(text, "\x1b\u202e") || strings.Contains(text, "\nnova\tc") || strings.Contains(text, "\xff") {
		t.Errorf("a terminal would obey it: %q", text)
	}
	if n := strings.Count(text, `a\x1b[2Jb\nnova\tc`); n < 21 {
		t.Errorf("%d names are shown, want all:\n%s", n, text)
	}
}
