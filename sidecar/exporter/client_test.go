package exporter

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/component"
	collectorexporter "go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// No request is larger than is configured, in bytes and in items, however it comes.
func TestExporter_BatchLimits(t *testing.T) {
	most, _ := wire.Scan(ledger.Traces, encode(strings.Repeat("x", 200)))
	cases := map[string]struct {
		limits   wire.Limits
		requests [][]string // names of the spans of each
		oversize int64
	}{
		"a request of too many items": {wire.Limits{Bytes: 1 << 20, Items: 7}, [][]string{numbered(20)}, 0},
		"a request of too many bytes": {wire.Limits{Bytes: 500, Items: 1000}, [][]string{numbered(100)}, 0},
		"requests that fit one by one": {
			wire.Limits{Bytes: 500, Items: 10}, [][]string{numbered(4), numbered(4), numbered(4), {strings.Repeat("x", 300)}, {strings.Repeat("x", 300)}}, 0,
		},
		"a request of the most items and the most bytes": {wire.Limits{Bytes: len(encode(numbered(10)...)), Items: 10}, [][]string{numbered(10)}, 0},
		"items that are too large, and others": {
			wire.Limits{Bytes: 1000, Items: 100, ItemBytes: 300}, [][]string{{"small", strings.Repeat("x", 400), "small"}, {strings.Repeat("x", 2000)}}, 2,
		},
		"an item of the most bytes": {wire.Limits{Bytes: 1000, Items: 100, ItemBytes: most.LargestItem}, [][]string{{strings.Repeat("x", 200)}}, 0},
		"an item of a byte more":    {wire.Limits{Bytes: 1000, Items: 100, ItemBytes: most.LargestItem}, [][]string{{strings.Repeat("x", 201)}}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(_ http.ResponseWriter, _ *http.Request, _ int, body []byte) bool {
				sum, err := wire.Scan(ledger.Traces, body)
				if err != nil || !c.limits.Allow(len(body), sum) {
					t.Errorf("a request of %d bytes, %+v, %v", len(body), sum, err)
				}
				return true
			})
			s := start(t, b.URL, "http/protobuf", func(config *Config) { config.Batch = c.limits })
			sent := int64(0)
			for _, spans := range c.requests {
				s.send(t, spans...)
				sent += int64(len(spans))
			}
			s.eventually(t, "an outcome", func() bool { e := s.entry(); return e.Exported+e.Dropped["oversize"] == sent })
			if e := s.entry(); e.Dropped["oversize"] != c.oversize || int64(len(b.spans)) != sent-c.oversize {
				t.Errorf("%d arrived, the ledger has %+v; want %d as oversize", len(b.spans), e, c.oversize)
			}
		})
	}
}

func encode(names ...string) []byte {
	body, _ := new(ptrace.ProtoMarshaler).MarshalTraces(spansNamed(names...))
	return body
}

// What holds no item is not sent.
func TestExporter_SendsNothingEmpty(t *testing.T) {
	b := newBackend(t, nil)
	s := start(t, b.URL, "http/protobuf", nil)
	s.send(t)
	if err := s.ConsumeTraces(t.Context(), ptrace.NewTraces()); err != nil { // without a request
		t.Fatal(err)
	}
	_ = s.Shutdown(t.Context()) // sends what is queued
	if b.requests != 0 {
		t.Errorf("%d requests", b.requests)
	}
}

// One connection carries one request after the other.
func TestExporter_KeepsConnection(t *testing.T) {
	var opened atomic.Int64
	b := newWatchedBackend(t, func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}, nil)
	s := start(t, b.URL, "http/protobuf", nil)
	for n := range int64(5) {
		s.send(t, "span")
		s.eventually(t, "the span is exported", func() bool { return s.entry().Exported == n+1 })
	}
	if got := opened.Load(); got != 1 {
		t.Errorf("%d connections for five requests", got)
	}
}

// A backend that does not take one signal does not hold up the others. The exporters of
// all signals end together.
func TestExporter_SignalsAreIndependent(t *testing.T) {
	away := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	})
	var logged atomic.Int64
	well := newBackend(t, func(_ http.ResponseWriter, r *http.Request, _ int, body []byte) bool {
		sum, _ := wire.Scan(ledger.Logs, body)
		logged.Add(int64(sum.Items))
		_, _ = io.Copy(io.Discard, r.Body)
		return false // it keeps spans alone
	})
	config := Config{
		Protocol: "http/protobuf", Targets: map[string]Target{"traces": {URL: URL(away.URL)}, "logs": {URL: URL(well.URL)}}, Compression: "none",
		Timeout: 5 * time.Second, RetryLimit: time.Minute, FlushInterval: time.Millisecond, DrainTimeout: 100 * time.Millisecond,
		QueueBytes: 4 << 20, Batch: wire.Limits{Bytes: 1 << 20, Items: 1000},
	}
	stats := new(ledger.Ledger)
	factory := NewFactory(config, nil, stats)
	set := collectorexporter.Settings{ID: component.NewID(Type)}
	set.Logger = zap.NewNop()
	traces, err := factory.CreateTraces(t.Context(), set, factory.CreateDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	logs, err := factory.CreateLogs(t.Context(), set, factory.CreateDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := factory.CreateMetrics(t.Context(), set, factory.CreateDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	all := []component.Component{traces, logs, metrics}
	for _, c := range all {
		if err := c.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	ld, md := plog.NewLogs(), pmetric.NewMetrics()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("text")
	md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
	records, _ := new(plog.ProtoMarshaler).MarshalLogs(ld)
	points, _ := new(pmetric.ProtoMarshaler).MarshalMetrics(md)
	if err := traces.ConsumeTraces(requestContext(t, ledger.Traces, encode("a", "b")), ptrace.NewTraces()); err != nil {
		t.Fatal(err)
	}
	if err := logs.ConsumeLogs(requestContext(t, ledger.Logs, records), plog.NewLogs()); err != nil {
		t.Fatal(err)
	}
	if err := metrics.ConsumeMetrics(requestContext(t, ledger.Metrics, points), pmetric.NewMetrics()); err != nil {
		t.Fatal(err)
	}
	subject{stats: stats}.eventually(t, "the record is exported", func() bool { return stats.Entries()["logs"].Exported == 1 })
	for _, c := range all {
		_ = c.Shutdown(context.WithoutCancel(t.Context()))
	}
	got := map[string]map[string]int64{}
	for signal, e := range stats.Entries() {
		got[signal] = e.Dropped
	}
	want := map[string]map[string]int64{"traces": {"shutdown": 2}, "logs": nil, "metrics": {"no_backend": 1}}
	if diff := cmp.Diff(want, got); diff != "" || logged.Load() != 1 {
		t.Errorf("%d records arrived; dropped (-want +got):\n%s", logged.Load(), diff)
	}
}
