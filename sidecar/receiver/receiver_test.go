package receiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

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
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// sink is the pipeline behind a receiver under test.
type sink struct {
	mu    sync.Mutex
	names []string // of the spans
	err   func() error
}

func (s *sink) consume(_ context.Context, td ptrace.Traces) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		if err := s.err(); err != nil {
			return err
		}
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
}

func start(t *testing.T, change func(*Config)) running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	config := Config{
		Listen: []string{address}, MaxRequestBytes: 1 << 20, HeldBytes: 256 << 10, Concurrency: 1,
		Piece:          wire.Limits{Bytes: 256 << 10, Items: 1000, Memory: 1 << 20},
		MessageTimeout: 500 * time.Millisecond, StopTimeout: time.Second,
	}
	if change != nil {
		change(&config)
	}
	r := running{address: address, stats: new(ledger.Ledger), sink: &sink{}}
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
	if err := traces.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = traces.Shutdown(context.WithoutCancel(t.Context())) })
	return r
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
	response, err := http.DefaultClient.Do(q)
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

func TestReceiver_Encodings(t *testing.T) {
	body := request(t, "span")
	cases := map[string]struct {
		encoding string
		body     []byte
		status   int
		refused  ledger.BadRequest
	}{
		"none":                  {"", body, 200, -1},
		"identity":              {"identity", body, 200, -1},
		"gzip":                  {"gzip", gzipped(body), 200, -1},
		"zstd":                  {"zstd", zstandard(body), 200, -1},
		"deflate":               {"deflate", body, 415, ledger.Unsupported},
		"snappy":                {"snappy", body, 415, ledger.Unsupported},
		"lz4":                   {"lz4", body, 415, ledger.Unsupported},
		"gzip that is broken":   {"gzip", body, 400, ledger.Incomplete},
		"gzip that breaks off":  {"gzip", gzipped(body)[:12], 400, ledger.Incomplete},
		"zstd that is broken":   {"zstd", body, 400, ledger.Incomplete},
		"gzip beyond the limit": {"gzip", gzipped(make([]byte, 2<<20)), 413, ledger.TooBig},
		"zstd beyond the limit": {"zstd", zstandard(make([]byte, 2<<20)), 413, ledger.TooBig},
		"plain over the limit":  {"", make([]byte, 2<<20), 413, ledger.TooBig},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			status, _ := r.post(t, typeProtobuf, c.encoding, c.body)
			if status != c.status {
				t.Errorf("answered %d, want %d", status, c.status)
			}
			if taken := len(r.sink.spans()) == 1; taken != (c.status == 200) {
				t.Errorf("taken: %v", taken)
			}
			if c.refused >= 0 && r.refused(c.refused) != 1 {
				t.Errorf("refused requests: %v, want one %s", r.stats.Entries()["traces"].RefusedRequests, c.refused)
			}
		})
	}
}

func TestReceiver_GRPCEncodings(t *testing.T) {
	body := request(t, "span")
	for encoding, c := range map[string]struct {
		message    []byte
		compressed byte
		want       codes.Code
	}{
		"identity": {body, 0, codes.OK},
		"gzip":     {gzipped(body), 1, codes.OK},
		"zstd":     {zstandard(body), 1, codes.OK},
		"snappy":   {body, 1, codes.Unimplemented},
		"deflate":  {body, 1, codes.Unimplemented},
	} {
		t.Run(encoding, func(t *testing.T) {
			r := start(t, nil)
			if got, message := r.call(t, encoding, frame(c.compressed, c.message)); got != c.want {
				t.Errorf("got %s %q, want %s", got, message, c.want)
			}
			if c.want != codes.OK && r.refused(ledger.Unsupported) != 1 {
				t.Errorf("refused requests: %v", r.stats.Entries()["traces"].RefusedRequests)
			}
		})
	}
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

// nested is a span with an attribute of lists in lists.
func nested(depth int) []byte {
	sub := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	value := sub(1, []byte("x"))
	for range depth {
		value = sub(5, sub(1, value))
	}
	return sub(1, sub(2, sub(2, sub(9, append(sub(1, []byte("k")), sub(2, value)...)))))
}

// A request is taken or refused before it is decoded; nothing that is sent ends the
// receiver, or takes more than it may.
func TestReceiver_Bombs(t *testing.T) {
	scope := func(spans []byte) []byte {
		sub := func(content []byte) []byte {
			return protowire.AppendBytes([]byte{0x0a}, protowire.AppendBytes([]byte{0x12}, content))
		}
		return sub(spans)
	}
	cases := map[string]struct {
		kind, encoding string
		body           []byte
		status         int
		taken          int
	}{
		"many empty spans":             {typeProtobuf, "gzip", gzipped(scope(bytes.Repeat([]byte{0x12, 0}, 100_000))), 200, 100_000},
		"deep nesting":                 {typeProtobuf, "", nested(10_000), 400, 0},
		"deep nesting in JSON":         {typeJSON, "", []byte(strings.Repeat(`{"resourceSpans":[`, 50_000)), 400, 0},
		"many empty spans in JSON":     {typeJSON, "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat("{},", 100_000) + `{}]}]}]}`), 413, 0},
		"many empty attributes":        {typeProtobuf, "", scope(protowire.AppendBytes([]byte{0x12}, bytes.Repeat([]byte{0x4a, 0}, 100_000))), 200, 0},
		"many empty scopes":            {typeProtobuf, "", protowire.AppendBytes([]byte{0x0a}, bytes.Repeat([]byte{0x12, 0}, 400_000)), 200, 0},
		"many empty resources":         {typeProtobuf, "", bytes.Repeat([]byte{0x0a, 0}, 400_000), 200, 0},
		"a length that lies":           {typeProtobuf, "", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, 400, 0},
		"groups in groups":             {typeProtobuf, "", bytes.Repeat([]byte{0x0b}, 500_000), 400, 0},
		"a number in JSON without end": {typeJSON, "", []byte(`{"resourceSpans":` + strings.Repeat("1", 500_000)), 400, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			status, answer := r.post(t, c.kind, c.encoding, c.body)
			if status != c.status || len(r.sink.spans()) != c.taken {
				t.Errorf("answered %d %.100q, took %d; want %d and %d", status, answer, len(r.sink.spans()), c.status, c.taken)
			}
		})
	}
}

// An item that cannot be delivered is refused alone, and its sender is told.
func TestReceiver_PartialSuccess(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	body := request(t, "small", large, "small too")
	t.Run("protobuf", func(t *testing.T) {
		r := start(t, nil)
		status, answer := r.post(t, typeProtobuf, "", body)
		response := ptraceotlp.NewExportResponse()
		if err := response.UnmarshalProto(answer); err != nil || status != 200 {
			t.Fatal(status, err)
		}
		r.checkPartial(t, response)
	})
	t.Run("JSON", func(t *testing.T) {
		r := start(t, nil)
		in := ptraceotlp.NewExportRequest()
		_ = in.UnmarshalProto(body)
		text, _ := in.MarshalJSON()
		status, answer := r.post(t, typeJSON, "", text)
		response := ptraceotlp.NewExportResponse()
		if err := response.UnmarshalJSON(answer); err != nil || status != 200 {
			t.Fatal(status, err, string(answer))
		}
		r.checkPartial(t, response)
	})
	t.Run("gRPC", func(t *testing.T) {
		r := start(t, nil)
		in := ptraceotlp.NewExportRequest()
		_ = in.UnmarshalProto(body)
		response, err := ptraceotlp.NewGRPCClient(r.dial(t)).Export(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		r.checkPartial(t, response)
	})
}

func (r running) checkPartial(t *testing.T, response ptraceotlp.ExportResponse) {
	t.Helper()
	e := r.stats.Entries()["traces"]
	if response.PartialSuccess().RejectedSpans() != 1 || !strings.Contains(response.PartialSuccess().ErrorMessage(), "larger than") {
		t.Errorf("rejected %d: %q", response.PartialSuccess().RejectedSpans(), response.PartialSuccess().ErrorMessage())
	}
	if e.Accepted != 2 || e.Refused["oversize"] != 1 || len(r.sink.spans()) != 2 {
		t.Errorf("the ledger has %+v, the pipeline %d", e, len(r.sink.spans()))
	}
}

// Text that is not UTF-8 is repaired in its span alone.
func TestReceiver_RepairsText(t *testing.T) {
	r := start(t, nil)
	status, _ := r.post(t, typeProtobuf, "", request(t, "good", "b\xffd", "good too"))
	if got := fmt.Sprintf("%q", r.sink.spans()); status != 200 || got != `["good" "b�d" "good too"]` {
		t.Errorf("answered %d, took %s", status, got)
	}
}

// A pipeline that refuses is told to the sender, who may try again or may not.
func TestReceiver_PipelineErrors(t *testing.T) {
	large := make([]string, 2500) // three pieces
	cases := map[string]struct {
		spans  []string
		fail   func(call int) bool
		status int
		want   ledger.Entry
	}{
		"at once":          {[]string{"a"}, func(int) bool { return true }, 503, ledger.Entry{Refused: map[string]int64{"memory": 1}}},
		"the first piece":  {large, func(int) bool { return true }, 503, ledger.Entry{Refused: map[string]int64{"memory": 2500}}},
		"a later piece":    {large, func(call int) bool { return call > 1 }, 200, ledger.Entry{Accepted: 1000, Refused: map[string]int64{"memory": 1500}}},
		"a piece for once": {large, func(call int) bool { return call == 2 }, 200, ledger.Entry{Accepted: 2500, Refused: map[string]int64{}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			calls := 0
			r.sink.err = func() error {
				if calls++; c.fail(calls) {
					return errors.New("memory is short")
				}
				return nil
			}
			status, _ := r.post(t, typeProtobuf, "", request(t, c.spans...))
			e := r.stats.Entries()["traces"]
			if status != c.status || e.Accepted != c.want.Accepted || e.Refused["memory"] != c.want.Refused["memory"] {
				t.Errorf("answered %d, the ledger has %+v; want %d and %+v", status, e, c.status, c.want)
			}
		})
	}
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
