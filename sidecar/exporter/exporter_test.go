package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// subject is an exporter under test.
type subject struct {
	traces
	stats *ledger.Ledger
	logs  *observer.ObservedLogs
}

func start(t *testing.T, url, protocol string, change func(*Config)) subject {
	t.Helper()
	config := &Config{
		Protocol: protocol, Targets: map[string]Target{"traces": {URL: URL(url)}}, Compression: "none",
		Timeout: 5 * time.Second, RetryLimit: time.Minute, FlushInterval: 10 * time.Millisecond, DrainTimeout: 10 * time.Second,
		QueueBytes: 4 << 20, Batch: wire.Limits{Bytes: 1 << 20, Items: 1000},
	}
	if change != nil {
		change(config)
	}
	core, logs := observer.New(zap.InfoLevel)
	s := subject{stats: new(ledger.Ledger), logs: logs}
	s.traces = traces{newSignalExporter(config, zap.New(core), ledger.Traces, s.stats.Counters(ledger.Traces), newDrain(), nil)}
	if err := s.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s
}

func (s subject) send(t *testing.T, names ...string) {
	t.Helper()
	if err := s.ConsumeTraces(requestContext(t, ledger.Traces, encode(names...)), ptrace.NewTraces()); err != nil {
		t.Fatal(err)
	}
}

// requestContext is how requests come to an exporter.
func requestContext(t *testing.T, signal ledger.Signal, body []byte) context.Context {
	t.Helper()
	sum, err := wire.Scan(signal, body)
	if err != nil {
		t.Fatal(err)
	}
	return wire.NewContext(t.Context(), wire.Request{Body: body, Items: sum.Items})
}

func spansNamed(names ...string) ptrace.Traces {
	td := ptrace.NewTraces()
	scope := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	for _, name := range names {
		scope.Spans().AppendEmpty().SetName(name)
	}
	return td
}

func (s subject) entry() ledger.Entry { return s.stats.Entries()["traces"] }

func (s subject) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s; the ledger has %+v", what, s.entry())
		}
	}
}

// line returns the fields of the first log line with the message.
func (s subject) line(message string) map[string]any {
	for _, entry := range s.logs.All() {
		if entry.Message == message {
			return entry.ContextMap()
		}
	}
	return nil
}

// backend answers by HTTP, and remembers the spans of what it accepted.
type backend struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	spans    []string
}

func newBackend(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, request int, body []byte) (accepted bool)) *backend {
	t.Helper()
	return newWatchedBackend(t, nil, answer)
}

// newWatchedBackend tells watch what becomes of its connections.
func newWatchedBackend(t *testing.T, watch func(net.Conn, http.ConnState), answer func(w http.ResponseWriter, r *http.Request, request int, body []byte) (accepted bool)) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		request := b.requests
		b.requests++
		b.mu.Unlock()
		if answer != nil && !answer(w, r, request, body) {
			return
		}
		in := ptraceotlp.NewExportRequest()
		if err := in.UnmarshalProto(body); err != nil {
			t.Errorf("the backend cannot decode: %v", err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.spans = append(b.spans, names(in.Traces())...)
	}))
	b.Config.ConnState = watch
	b.Start()
	t.Cleanup(b.Close)
	return b
}

func names(td ptrace.Traces) (all []string) {
	for _, r := range td.ResourceSpans().All() {
		for _, scope := range r.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				all = append(all, span.Name())
			}
		}
	}
	return all
}

func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint("span ", i))
	}
	return names
}

func TestExporter_Answers(t *testing.T) {
	refuse := func(code int, kind, text string) func(http.ResponseWriter, *http.Request, int, []byte) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) bool {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
			return false
		}
	}
	message, _ := proto.Marshal(&spb.Status{Message: "span 3 has no id"})
	partial := func(rejected int64, text string, cut int) []byte {
		var success []byte
		success = protowire.AppendVarint(protowire.AppendTag(success, 1, protowire.VarintType), uint64(rejected))
		success = protowire.AppendString(protowire.AppendTag(success, 2, protowire.BytesType), text)
		body := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), success)
		return body[:len(body)-cut]
	}
	long := strings.Repeat("long ", 20_000)
	const rejected = "batch dropped: the backend rejected it"
	const inPart = "backend accepted a batch in part"
	cases := map[string]struct {
		answer            func(http.ResponseWriter, *http.Request, int, []byte) bool
		exported, dropped int64
		line, text        string
		items             int64
	}{
		"a Status message":         {refuse(400, "application/x-protobuf", string(message)), 0, 5, rejected, "backend answered 400 Bad Request: span 3 has no id", 5},
		"a Status in JSON":         {refuse(400, "application/json", `{"code":3,"message":"no such tenant"}`), 0, 5, rejected, "no such tenant", 5},
		"a text":                   {refuse(401, "text/plain", "who are you?\n"), 0, 5, rejected, "backend answered 401 Unauthorized: who are you?", 5},
		"no text":                  {refuse(403, "", ""), 0, 5, rejected, "backend answered 403 Forbidden", 5},
		"a long text":              {refuse(400, "text/plain", long), 0, 5, rejected, "long long", 5},
		"a partial success":        {refuse(200, "application/x-protobuf", string(partial(3, "too old", 0))), 2, 3, inPart, "too old", 5},
		"a long partial success":   {refuse(200, "application/x-protobuf", string(partial(3, long, 0))), 2, 3, inPart, "long long", 5},
		"a warning":                {refuse(200, "application/x-protobuf", string(partial(0, "use v2", 0))), 5, 0, inPart, "use v2", 5},
		"more rejected than sent":  {refuse(200, "application/x-protobuf", string(partial(99, "x", 0))), 0, 5, inPart, "x", 5},
		"a negative count":         {refuse(200, "application/x-protobuf", string(partial(-1, "x", 0))), 5, 0, inPart, "x", 5},
		"a response that is HTML":  {refuse(200, "text/html", "<html>"), 5, 0, "", "", 0},
		"an empty partial success": {refuse(200, "application/x-protobuf", "\x0a\x00"), 5, 0, "", "", 0},
		"a redirect elsewhere": {
			func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) bool {
				w.Header().Set("Location", "http://elsewhere.test/v1/traces?token=s3cret")
				w.WriteHeader(http.StatusPermanentRedirect)
				return false
			}, 0, 5, rejected, "redirects to http://elsewhere.test/v1/traces are not followed", 5,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, c.answer)
			s := start(t, b.URL, "http/protobuf", nil)
			s.send(t, numbered(5)...)
			s.eventually(t, "an outcome", func() bool { e := s.entry(); return e.Exported+e.Dropped["rejected"] == 5 })
			if e := s.entry(); e.Exported != c.exported || e.Dropped["rejected"] != c.dropped {
				t.Errorf("exported %d, rejected %d; want %d and %d", e.Exported, e.Dropped["rejected"], c.exported, c.dropped)
			}
			got := s.line(c.line)
			if c.line != "" && (got == nil || got["items"] != c.items || !strings.Contains(fmt.Sprint(got["error"]), c.text)) {
				t.Errorf("logged %v, want %d items and %q", got, c.items, c.text)
			}
			if text := fmt.Sprint(s.logs.All()); strings.Contains(text, "s3cret") || len(text) > 4000 {
				t.Errorf("the log has a secret, or %d bytes", len(text))
			}
		})
	}
}

// A redirect within the backend is followed, with the body.
func TestExporter_FollowsRedirect(t *testing.T) {
	for _, code := range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request, _ int, _ []byte) bool {
			if r.URL.Path != "/moved" {
				http.Redirect(w, r, "/moved", code)
				return false
			}
			return true
		})
		s := start(t, b.URL, "http/protobuf", nil)
		s.send(t, numbered(5)...)
		s.eventually(t, "the spans are exported", func() bool { return s.entry().Exported == 5 })
		if diff := cmp.Diff(numbered(5), b.spans); diff != "" {
			t.Errorf("%d: spans (-want +got):\n%s", code, diff)
		}
	}
}

// A response whose body breaks off says nothing: the request is sent again.
func TestExporter_BrokenAnswerIsRetried(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, request int, _ []byte) bool {
		if request == 0 {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
			return false
		}
		return true
	})
	s := start(t, b.URL, "http/protobuf", nil)
	s.send(t, numbered(5)...)
	s.eventually(t, "the spans are exported", func() bool { return s.entry().Exported == 5 })
	if len(b.spans) != 5 || s.line("delivery failed; will retry") == nil {
		t.Errorf("the backend has %d spans; logged %v", len(b.spans), s.logs.All())
	}
}

// The first item wakes the consumer: it does not wait for a full batch, nor for another.
func TestExporter_FirstItemIsSent(t *testing.T) {
	b := newBackend(t, nil)
	s := start(t, b.URL, "http/protobuf", nil)
	for n := range int64(3) {
		s.send(t, "only")
		s.eventually(t, "the span is exported", func() bool { return s.entry().Exported == n+1 })
	}
}

// grpcBackend decides by gRPC, and remembers the spans of what it accepted.
type grpcBackend struct {
	ptraceotlp.UnimplementedGRPCServer
	address string
	decide  func(ptraceotlp.ExportRequest) error
	mu      sync.Mutex
	spans   []string
	calls   int
}

func (g *grpcBackend) Export(_ context.Context, in ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	err := g.decide(in)
	if err == nil {
		g.spans = append(g.spans, names(in.Traces())...)
	}
	return ptraceotlp.NewExportResponse(), err
}

func newGRPCBackend(t *testing.T, decide func(ptraceotlp.ExportRequest) error) *grpcBackend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &grpcBackend{address: listener.Addr().String(), decide: decide}
	server := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(server, g)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return g
}

// What is lost is logged with the reason: once a kind, with numbers.
func TestExporter_LogsWhatIsLost(t *testing.T) {
	t.Run("at shutdown", func(t *testing.T) {
		s := start(t, "http://127.0.0.1:1", "http/protobuf", func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
		s.send(t, numbered(5)...)
		s.eventually(t, "delivery fails", func() bool { return s.line("delivery failed; will retry") != nil })
		_ = s.Shutdown(t.Context())
		got := s.line("items dropped: the queue did not drain in time")
		if got["items"] != int64(5) || got["signal"] != "traces" || !strings.Contains(fmt.Sprint(got["last_error"]), "connection refused") {
			t.Errorf("logged %v", got)
		}
		if first := s.line("delivery failed; will retry"); first == nil || !strings.Contains(fmt.Sprint(first["error"]), "connection refused") {
			t.Errorf("the first failure is logged as %v", first)
		}
	})
	t.Run("from a full queue", func(t *testing.T) {
		s := start(t, "http://127.0.0.1:1", "http/protobuf", func(c *Config) {
			c.DrainTimeout, c.QueueBytes, c.Batch.Bytes = 0, 2000, 1000
		})
		for range 100 {
			s.send(t, strings.Repeat("x", 500))
		}
		if got := s.line("queue is full; its oldest items are dropped"); got["items"] != int64(1) {
			t.Errorf("logged %v", got)
		}
		if n := len(s.logs.FilterMessage("queue is full; its oldest items are dropped").All()); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
	t.Run("for its size", func(t *testing.T) {
		s := start(t, "http://127.0.0.1:1", "http/protobuf", func(c *Config) { c.DrainTimeout, c.Batch.ItemBytes = 0, 100 })
		s.send(t, strings.Repeat("x", 500), "small", strings.Repeat("y", 500))
		if got := s.line("items dropped: each is larger than the backend takes"); got["items"] != int64(2) {
			t.Errorf("logged %v", got)
		}
		if e := s.entry(); e.Dropped["oversize"] != 2 {
			t.Errorf("the ledger has %+v", e)
		}
	})
	t.Run("at the retry limit", func(t *testing.T) {
		s := start(t, "http://127.0.0.1:1", "http/protobuf", func(c *Config) { c.RetryLimit = 0 })
		s.send(t, numbered(5)...)
		s.eventually(t, "the batch is dropped", func() bool { return s.entry().Dropped["retry_limit"] == 5 })
		if got := s.line("batch dropped: it was tried for as long as the retry limit allows"); got["items"] != int64(5) {
			t.Errorf("logged %v", got)
		}
	})
}

func TestNotices(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	n := newNotices(zap.New(core))
	for range 10 {
		n.warn("a", "first")
		n.warn("b", "second")
	}
	n.kinds["a"].logged = time.Now().Add(-2 * noticeInterval)
	n.warn("a", "first")
	got := logs.All()
	if len(got) != 3 || got[2].ContextMap()["suppressed"] != int64(9) {
		t.Errorf("logged %v", got)
	}
}

func TestURL_Redacted(t *testing.T) {
	for url, want := range map[URL]string{
		"https://host:443/v1/traces":        "https://host:443/v1/traces",
		"http://host:4317":                  "http://host:4317",
		"https://host/token/s3cret":         "https://host/[redacted]",
		"https://host/s3cret/v1/traces":     "https://host/[redacted]",
		"https://host/v1/traces?api_key=s3": "https://host/v1/traces",
		"::":                                "[redacted]",
	} {
		if got := url.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCause(t *testing.T) {
	_, err := http.Get("http://127.0.0.1:1/s3cret")
	if got := cause(err); strings.Contains(got.Error(), "s3cret") || !errors.Is(err, got) {
		t.Errorf("got %v", got)
	}
}
