package receiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// sink is the pipeline behind a receiver under test.
type sink struct {
	mu    sync.Mutex
	names []string // of the spans
	err   func() error
}

func (s *sink) consume(ctx context.Context, _ ptrace.Traces) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		if err := s.err(); err != nil {
			return err
		}
	}
	r := wire.FromContext(ctx)
	td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(r.Body)
	if err != nil || td.SpanCount() != r.Items {
		return fmt.Errorf("%d items: %w", r.Items, err)
	}
	for _, r := range td.ResourceSpans().All() {
		for _, scope := range r.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				s.names = append(s.names, span.Name())
			}
		}
	}
	return nil
}

func (s *sink) spans() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names
}

type running struct {
	address string
	stats   *ledger.Ledger
	sink    *sink
	// accepted are the connections, without keeping them in memory.
	accepted *weakConns
	conns    chan http.ConnState // of every connection
}

func start(t *testing.T, change func(*Config)) running {
	t.Helper()
	config := Config{
		Listen: []string{"127.0.0.1:0"}, MaxRequestBytes: 1 << 20, HeldBytes: 256 << 10, Concurrency: 1,
		Piece:          wire.Limits{Bytes: 256 << 10, Items: 1000},
		JSONMemory:     8 << 20,
		MessageTimeout: time.Minute, StopTimeout: time.Second,
	}
	if change != nil {
		change(&config)
	}
	r := running{stats: new(ledger.Ledger), sink: &sink{}, accepted: &weakConns{}, conns: make(chan http.ConnState, 10_000)}
	r.stats.Counters(ledger.Traces).SetQueue(0, 64<<20) // as an exporter's
	next, err := consumer.NewTraces(r.sink.consume)
	if err != nil {
		t.Fatal(err)
	}
	factory := NewFactory(config, r.stats)
	set := receiver.Settings{}
	set.Logger = zap.NewNop()
	set.ID = component.NewID(Type)
	traces, err := factory.CreateTraces(t.Context(), set, factory.CreateDefaultConfig(), next)
	if err != nil {
		t.Fatal(err)
	}
	s := traces.(*server)
	s.http.ConnState = func(_ net.Conn, state http.ConnState) { r.conns <- state }
	s.listen = func(ctx context.Context, address string) (net.Listener, error) {
		listener, err := listen(ctx, address)
		r.address = listener.Addr().String()
		return noting{listener, r.accepted}, err
	}
	if err := traces.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = traces.Shutdown(context.WithoutCancel(t.Context())) })
	return r
}

// weakConns refers weakly to connections.
type weakConns struct {
	mu  sync.Mutex
	all []weak.Pointer[noted]
}

func (w *weakConns) held() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		if c.Value() != nil {
			n++
		}
	}
	return n
}

type noted struct{ net.Conn }

// noting is a listener that notes the connections.
type noting struct {
	net.Listener
	conns *weakConns
}

func (l noting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &noted{conn}
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	l.conns.all = append(l.conns.all, weak.Make(c))
	return c, nil
}

func (r running) refused(why ledger.BadRequest) int64 {
	return r.stats.Counters(ledger.Traces).Entry().RefusedRequests[why.String()]
}

func request(t testing.TB, names ...string) []byte {
	t.Helper()
	td := ptrace.NewTraces()
	scope := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	for _, name := range names {
		scope.Spans().AppendEmpty().SetName(name)
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (r running) post(t testing.TB, kind, encoding string, body []byte) (status int, answer []byte) {
	t.Helper()
	response, answer := r.do(t, kind, encoding, body)
	return response.StatusCode, answer
}

func (r running) postForType(t testing.TB, kind string, body []byte) (status int, answer []byte, answerKind string) {
	t.Helper()
	response, answer := r.do(t, kind, "", body)
	return response.StatusCode, answer, response.Header.Get("Content-Type")
}

func (r running) do(t testing.TB, kind, encoding string, body []byte) (response *http.Response, answer []byte) {
	t.Helper()
	q, _ := http.NewRequest(http.MethodPost, "http://"+r.address+"/v1/traces", bytes.NewReader(body))
	q.Header.Set("Content-Type", kind)
	if encoding != "" {
		q.Header.Set("Content-Encoding", encoding)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	response, err := http.DefaultClient.Do(q.WithContext(ctx))
	if err != nil {
		t.Fatalf("post: %v", err)
	}
	defer response.Body.Close()
	answer, _ = io.ReadAll(response.Body)
	return response, answer
}

func (r running) dial(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func gzipped(body []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}

func zstandard(body []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(body, nil)
}

func frame(compressed byte, message []byte) []byte {
	prefix := []byte{compressed, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(message)))
	return append(prefix, message...)
}

// h2c speaks HTTP/2 without TLS.
func h2c(t testing.TB) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// call sends what a gRPC client would not.
func (r running) call(t testing.TB, encoding string, frame []byte) (codes.Code, string) {
	t.Helper()
	q, _ := http.NewRequest(http.MethodPost, "http://"+r.address+"/"+services[ledger.Traces]+"/Export", bytes.NewReader(frame))
	q.Header.Set("Content-Type", typeGRPC)
	q.Header.Set("Te", "trailers")
	q.Header.Set("Grpc-Encoding", encoding)
	response, err := h2c(t).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.ReadAll(response.Body)
	get := func(name string) string { return response.Header.Get(name) + response.Trailer.Get(name) }
	var code codes.Code
	if _, err := fmt.Sscan(get("Grpc-Status"), (*uint32)(&code)); err != nil {
		t.Fatalf("no status: %v %v", response.Header, response.Trailer)
	}
	return code, get("Grpc-Message")
}

// send opens a connection and leaves it open.
func (r running) send(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}
