package sidecar_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
)

// secretSpans are one span with an address in its resource.
func secretSpans() ptrace.Traces {
	td := ptrace.NewTraces()
	resource := td.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("owner", "of jane@example.com")
	resource.Resource().Attributes().PutStr("pin.code", "1234")
	span := resource.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetSpanID([8]byte{1})
	span.SetTraceID([16]byte{1})
	return td
}

func secretRecords() plog.Logs {
	ld := plog.NewLogs()
	scope := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	scope.LogRecords().AppendEmpty().Body().SetStr(`{"to":"jane@example.com","pin":1}`)
	scope.LogRecords().AppendEmpty().Body().SetStr("sent to jane@example.com")
	return ld
}

// What leaves the sidecar has no secret, by whichever way it came in, and the ledger and
// the metrics say how much was redacted by which rule.
func TestRedaction(t *testing.T) {
	ways := map[string]func(*testing.T, *process){
		"gRPC": func(t *testing.T, p *process) {
			app := newClient(t, p.otlp)
			if err := app.send(secretSpans()); err != nil {
				t.Error(err)
			}
			if _, err := plogotlp.NewGRPCClient(app.conn).Export(context.Background(), plogotlp.NewExportRequestFromLogs(secretRecords())); err != nil {
				t.Error(err)
			}
		},
		"HTTP with JSON": func(t *testing.T, p *process) {
			app := newClient(t, p.otlp)
			spans, _ := new(ptrace.JSONMarshaler).MarshalTraces(secretSpans())
			records, _ := new(plog.JSONMarshaler).MarshalLogs(secretRecords())
			for signal, body := range map[string][]byte{"traces": spans, "logs": records} {
				if err := app.postBody(signal, "application/json", body); err != nil {
					t.Error(err)
				}
			}
		},
	}
	for name, send := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := receiver(t, fakeotlp.Options{})
			p := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_REDACT=mask preset email; pins: drop key pin*", "NOVAWIRE_RESOURCE_ATTRIBUTES=k8s.pod.name=cart-1,pin.code=1234,team=joe%40example.com")...)
			send(t, p)
			if got := p.metric(`novawire_sidecar_redacted_total{signal="logs",rule="email"}`); got != 2 {
				t.Errorf("the metric counts %d addresses in logs, want 2", got)
			}
			entries := p.stop()
			resource := map[string]string{"owner": "of [redacted]", "k8s.pod.name": "cart-1", "team": "[redacted]"}
			if diff := cmp.Diff(resource, backend.Resource("traces")); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
			bodies := map[string]int{`{"to":"[redacted]"}`: 1, "sent to [redacted]": 1}
			if diff := cmp.Diff(bodies, backend.Taken("logs")); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]int64{"email": 2, "pins": 1}, entries["logs"].Redacted); diff != "" {
				t.Errorf("ledger of logs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]int64{"email": 1, "pins": 1}, entries["traces"].Redacted); diff != "" {
				t.Errorf("ledger of traces (-want +got):\n%s", diff)
			}
			if strings.Contains(p.log(), "jane@") {
				t.Errorf("a secret is in the log:\n%s", p.log())
			}
		})
	}
}

// A rule that cannot be read is told, never repeated, and masks what it might have meant.
func TestRedaction_Unreadable(t *testing.T) {
	cases := map[string]struct {
		rules string
		want  map[string]int
	}{
		"closed": {"mask value s3cret(", map[string]int{"[redacted]": 2}},
		"open":   {"fail open; mask value s3cret(; mask preset email", map[string]int{`{"to":"[redacted]","pin":1}`: 1, "sent to [redacted]": 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := receiver(t, fakeotlp.Options{})
			p := start(t, to(backend, sidecarapi.ProtocolGRPC, "NOVAWIRE_REDACT="+c.rules)...)
			app := newClient(t, p.otlp)
			if _, err := plogotlp.NewGRPCClient(app.conn).Export(context.Background(), plogotlp.NewExportRequestFromLogs(secretRecords())); err != nil {
				t.Error(err)
			}
			if p.metric("novawire_sidecar_mistakes") != 1 {
				t.Error("the mistake is not counted")
			}
			p.stop()
			if diff := cmp.Diff(c.want, backend.Taken("logs")); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
			if log := p.log(); !strings.Contains(log, "rule 1 cannot be read") || strings.Contains(log, "s3cret") {
				t.Errorf("the log does not tell, or tells too much:\n%s", log)
			}
		})
	}
}

// What is in the journal has no secret either.
func TestRedaction_Storage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "NOVAWIRE_ENDPOINT=http://127.0.0.1:1", "NOVAWIRE_STORAGE_DIR="+dir, "NOVAWIRE_DRAIN_TIMEOUT=0s", "NOVAWIRE_REDACT=mask preset email")
	app := newClient(t, p.otlp)
	if _, err := plogotlp.NewGRPCClient(app.conn).Export(context.Background(), plogotlp.NewExportRequestFromLogs(secretRecords())); err != nil {
		t.Error(err)
	}
	if entries := p.stop(); entries["logs"].Stored != 2 {
		t.Errorf("stored %d records, want 2", entries["logs"].Stored)
	}
	journal, err := os.ReadFile(filepath.Join(dir, "logs.journal"))
	if err != nil {
		t.Fatal(err)
	}
	if content := string(journal); !strings.Contains(content, "sent to [redacted]") || strings.Contains(content, "jane@") {
		t.Errorf("the journal holds %q", content)
	}
}
