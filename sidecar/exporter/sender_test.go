package exporter

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/nova/novawire/sidecar/ledger"
)

// A request has OTLP's form, and the headers of the configuration and of the target.
func TestSender_Requests(t *testing.T) {
	config := func(compression string) *Config {
		return &Config{Compression: compression, Headers: map[string]Secret{"authorization": "Bearer token"}}
	}
	body := encode(numbered(100)...)
	r := request{bodies: [][]byte{body[:10], body[10:]}, items: 100, bytes: len(body)}
	for _, compression := range []string{"none", gzipName} {
		t.Run("HTTP, "+compression, func(t *testing.T) {
			var got http.Header
			var gotBody []byte
			b := newBackend(t, func(_ http.ResponseWriter, r *http.Request, _ int, body []byte) bool {
				got, gotBody = r.Header, body
				return false
			})
			c := config(compression)
			c.Protocol = "http/protobuf"
			s, err := newSender(c, Target{URL: URL(b.URL + "/v1/traces"), Headers: map[string]string{"x-group": "g"}}, ledger.Traces, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			for range 2 { // the compressor is used again
				if result := s.send(t.Context(), r); result.outcome != exported {
					t.Fatal(result)
				}
				if compression == gzipName {
					if len(gotBody) >= len(body)/2 {
						t.Errorf("compressed to %d of %d bytes", len(gotBody), len(body))
					}
					unzip, err := gzip.NewReader(bytes.NewReader(gotBody))
					if err != nil {
						t.Fatal(err)
					}
					gotBody, _ = io.ReadAll(unzip)
				}
				if !bytes.Equal(gotBody, body) {
					t.Errorf("sent %d bytes, want %d", len(gotBody), len(body))
				}
			}
			want := map[string]string{
				"Content-Type": "application/x-protobuf", "Authorization": "Bearer token", "X-Group": "g",
				"Content-Encoding": map[string]string{"none": "", gzipName: gzipName}[compression], "Accept-Encoding": "",
			}
			for name, value := range want {
				if got.Get(name) != value {
					t.Errorf("%s is %q, want %q", name, got.Get(name), value)
				}
			}
			if agent := got.Get("User-Agent"); !strings.HasPrefix(agent, "novawire-sidecar/") || !strings.HasSuffix(agent, " (Go)") {
				t.Errorf("the user agent is %q", agent)
			}
		})
		t.Run("gRPC, "+compression, func(t *testing.T) {
			for _, signal := range ledger.Signals {
				g := newEverySignal(t)
				c := config(compression)
				c.Protocol = "grpc"
				s, err := newSender(c, Target{URL: URL("http://" + g.address), Headers: map[string]string{"x-group": "g"}}, signal, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer s.close()
				for range 2 {
					if result := s.send(t.Context(), request{bodies: [][]byte{{0x0a}, {0}}}); result.outcome != exported {
						t.Fatal(result)
					}
				}
				g.mu.Lock()
				if diff := cmp.Diff([]string{signal.String(), signal.String()}, g.signals); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				for name, value := range map[string]string{"authorization": "Bearer token", "x-group": "g"} {
					if got := strings.Join(g.headers.Get(name), ","); got != value {
						t.Errorf("%s is %q, want %q", name, got, value)
					}
				}
				if want := strings.TrimPrefix(compression, "none"); g.compression != want {
					t.Errorf("the compression is %q, want %q", g.compression, want)
				}
				if agent := strings.Join(g.headers.Get("user-agent"), ""); !strings.HasPrefix(agent, "novawire-sidecar/") {
					t.Errorf("the user agent is %q", agent)
				}
				g.mu.Unlock()
			}
		})
	}
}

// everySignal is a backend by gRPC that remembers which services were called.
type everySignal struct {
	address string
	mu      sync.Mutex
	signals []string
	headers metadata.MD
	// compression of the last message
	compression string
}

// HandleRPC implements stats.Handler.
func (g *everySignal) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InHeader); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.compression = in.Compression
	}
}

// TagRPC implements stats.Handler.
func (*everySignal) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (*everySignal) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (*everySignal) HandleConn(context.Context, stats.ConnStats) {}

func newEverySignal(t *testing.T) *everySignal {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &everySignal{address: listener.Addr().String()}
	server := grpc.NewServer(grpc.StatsHandler(g), grpc.UnaryInterceptor(func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		g.mu.Lock()
		g.headers, _ = metadata.FromIncomingContext(ctx)
		for name, signal := range map[string]string{"TraceService": "traces", "MetricsService": "metrics", "LogsService": "logs"} {
			if strings.HasSuffix(info.FullMethod, name+"/Export") {
				g.signals = append(g.signals, signal)
			}
		}
		g.mu.Unlock()
		return handler(ctx, in)
	}))
	ptraceotlp.RegisterGRPCServer(server, &acceptTraces{})
	pmetricotlp.RegisterGRPCServer(server, &acceptMetrics{})
	plogotlp.RegisterGRPCServer(server, &acceptLogs{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return g
}

type (
	acceptTraces struct {
		ptraceotlp.UnimplementedGRPCServer
	}
	acceptMetrics struct {
		pmetricotlp.UnimplementedGRPCServer
	}
	acceptLogs struct {
		plogotlp.UnimplementedGRPCServer
	}
)

func (acceptTraces) Export(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	return ptraceotlp.NewExportResponse(), nil
}

func (acceptMetrics) Export(context.Context, pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	return pmetricotlp.NewExportResponse(), nil
}

func (acceptLogs) Export(context.Context, plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	return plogotlp.NewExportResponse(), nil
}

// Requests to a target that asks for it are signed.
func TestSender_Signs(t *testing.T) {
	var authorization string
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request, _ int, _ []byte) bool {
		authorization = r.Header.Get("Authorization")
		return true
	})
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "s3cret"}, nil
	})
	s := newHTTP(&Config{}, Target{URL: URL(b.URL), Sign: &Signing{Region: "eu-west-1", Service: "xray"}}, keys)
	defer s.close()
	if got := s.send(t.Context(), request{bodies: [][]byte{encode("span")}}); got.outcome != exported {
		t.Fatal(got)
	}
	if !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(authorization, "/eu-west-1/xray/") {
		t.Errorf("the signature is %q", authorization)
	}
}

// A sender that is closed leaves no connection, nor does an answer that is not read to its
// end, nor do files that change.
func TestSender_ClosesConnections(t *testing.T) {
	states := make(chan http.ConnState, 100)
	watch := func(_ net.Conn, state http.ConnState) { states <- state }
	b := newWatchedBackend(t, watch, func(w http.ResponseWriter, _ *http.Request, request int, _ []byte) bool {
		if request == 0 {
			_, _ = w.Write(make([]byte, 1<<20))
			return false
		}
		return true
	})
	closed := func() {
		t.Helper()
		for {
			select {
			case state := <-states:
				if state == http.StateClosed {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the connection stays")
			}
		}
	}
	f := files(t, newAuthority(t).ca, nil, nil)
	s := newHTTP(&Config{TLS: f}, Target{URL: URL(b.URL)}, nil)
	send := func() {
		t.Helper()
		if got := s.send(t.Context(), request{bodies: [][]byte{encode("span")}}); got.outcome != exported {
			t.Fatal(got)
		}
	}
	send()
	closed() // its answer was too long
	send()
	if err := os.WriteFile(f.CAFile, newAuthority(t).ca, 0o600); err != nil {
		t.Fatal(err)
	}
	send()
	closed()
	s.close()
	closed()
}

// Redirects that repeat the request within the backend are followed, a few times; no
// others are.
func TestSender_Redirects(t *testing.T) {
	cases := map[string]struct {
		code  int
		times int
		to    string // empty: the backend itself
		want  outcome
	}{
		"307":                      {307, 1, "", exported},
		"308, as often as allowed": {308, maxRedirects, "", exported},
		"once more":                {308, maxRedirects + 1, "", permanent},
		"303, which is a GET":      {303, 1, "", permanent},
		"301, which may be a GET":  {301, 1, "", permanent},
		"another host":             {308, 1, "http://elsewhere.test", permanent},
		"another scheme":           {308, 1, "https://%s", permanent},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(w http.ResponseWriter, r *http.Request, request int, _ []byte) bool {
				if request == c.times {
					return true
				}
				to := c.to
				if strings.Contains(to, "%s") {
					to = fmt.Sprintf(to, r.Host)
				}
				w.Header().Set("Location", fmt.Sprintf("%s/%d", to, request))
				w.WriteHeader(c.code)
				return false
			})
			s := newHTTP(&Config{}, Target{URL: URL(b.URL)}, nil)
			defer s.close()
			got := s.send(t.Context(), request{bodies: [][]byte{encode("span")}})
			if got.outcome != c.want {
				t.Errorf("got %+v, want %d", got, c.want)
			}
			if arrived := len(b.spans) == 1; arrived != (c.want == exported) {
				t.Errorf("arrived: %v", arrived)
			}
		})
	}
}

// An invalid URL is an error of the configuration, at once or with the first request.
func TestSender_BadURL(t *testing.T) {
	if _, err := newSender(&Config{Protocol: "grpc"}, Target{URL: "::"}, ledger.Traces, nil); err == nil {
		t.Error("gRPC takes ::")
	}
	s := newHTTP(&Config{}, Target{URL: "::"}, nil)
	if got := s.send(t.Context(), request{}); got.outcome != permanent || got.kind != "request" {
		t.Errorf("got %+v", got)
	}
}

func TestConfig_Validate(t *testing.T) {
	valid := func() *Config {
		c := &Config{Timeout: time.Second, FlushInterval: time.Second, QueueBytes: 1000, Targets: map[string]Target{"traces": {URL: "http://x"}}}
		c.Batch.Bytes, c.Batch.Items = 1000, 1
		return c
	}
	if err := valid().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"no bytes":                    func(c *Config) { c.Batch.Bytes = 0 },
		"no items":                    func(c *Config) { c.Batch.Items = 0 },
		"a queue that holds no batch": func(c *Config) { c.QueueBytes = 999 },
		"no timeout":                  func(c *Config) { c.Timeout = 0 },
		"no flush interval":           func(c *Config) { c.FlushInterval = 0 },
		"a target without an address": func(c *Config) { c.Targets["logs"] = Target{} },
	} {
		c := valid()
		change(c)
		if c.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}

// What a backend rejected by gRPC is counted too.
func TestSender_PartialSuccessByGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(server, &rejectThree{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	s := start(t, "http://"+listener.Addr().String(), "grpc", nil)
	s.send(t, numbered(5)...)
	s.eventually(t, "an outcome", func() bool { e := s.entry(); return e.Exported+e.Dropped["rejected"] == 5 })
	if e := s.entry(); e.Exported != 2 || e.Dropped["rejected"] != 3 {
		t.Errorf("the ledger has %+v", e)
	}
}

type rejectThree struct {
	ptraceotlp.UnimplementedGRPCServer
}

func (*rejectThree) Export(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	response := ptraceotlp.NewExportResponse()
	response.PartialSuccess().SetRejectedSpans(3)
	return response, nil
}
