package receiver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// Each error has one answer by HTTP, one by gRPC and one place in the ledger.
func TestErrors(t *testing.T) {
	const counted = -1 // where its items are
	cases := map[error]struct {
		http int
		grpc codes.Code
		why  ledger.BadRequest
	}{
		errTooBig:                {413, codes.ResourceExhausted, ledger.TooBig},
		errEncoding:              {415, codes.Unimplemented, ledger.Unsupported},
		errContentType:           {415, codes.InvalidArgument, ledger.Unsupported},
		errGRPCType:              {415, codes.InvalidArgument, ledger.Unsupported},
		errMethod:                {405, codes.Unimplemented, counted},
		errPath:                  {404, codes.Unimplemented, counted},
		errNoMethod:              {503, codes.Unimplemented, counted},
		errMalformed:             {400, codes.InvalidArgument, ledger.Malformed},
		errFlag:                  {400, codes.Internal, ledger.Malformed},
		errBody:                  {400, codes.InvalidArgument, ledger.Incomplete},
		errBusy:                  {503, codes.Unavailable, ledger.Busy},
		context.Canceled:         {503, codes.Canceled, counted},
		context.DeadlineExceeded: {408, codes.DeadlineExceeded, ledger.Incomplete},
		consumererror.NewPermanent(errors.New("a defect")): {500, codes.Internal, counted},
		errors.New("memory is short"):                      {503, codes.Unavailable, counted},
	}
	for err, c := range cases {
		if got := httpStatus(err); got != c.http {
			t.Errorf("%v: HTTP %d, want %d", err, got, c.http)
		}
		if got := grpcCode(err); got != c.grpc {
			t.Errorf("%v: gRPC %s, want %s", err, got, c.grpc)
		}
		if why, ok := refusalOf(err); ok != (c.why != counted) || ok && why != c.why {
			t.Errorf("%v: counted as %s, %v, want %d", err, why, ok, c.why)
		}
	}
	if got := readError(os.ErrDeadlineExceeded); !errors.Is(got, context.DeadlineExceeded) {
		t.Errorf("a body that is late is %v", got)
	}
	if got := readError(io.EOF); !errors.Is(got, io.EOF) {
		t.Errorf("a body that ends is %v", got)
	}
}

func TestPercentEncode(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain text": "plain text", "100 %": "100 %25", "a\nb": "a%0Ab", "~\x7f": "~%7F", " \x1f": " %1F", "ü": "%C3%BC",
	} {
		if got := percentEncode(text); got != want {
			t.Errorf("%q is encoded as %q, want %q", text, got, want)
		}
	}
}

func TestPartial_Response(t *testing.T) {
	p := partial{rejected: 3, reason: `too "large"`}
	for signal, want := range map[ledger.Signal]string{
		ledger.Traces:  `{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too \"large\""}}`,
		ledger.Metrics: `{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too \"large\""}}`,
		ledger.Logs:    `{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too \"large\""}}`,
	} {
		if got := string(p.response(signal, jsonText)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := (partial{}).response(ledger.Traces, protobuf); got != nil {
		t.Errorf("a full success is %q", got)
	}
}

// What a library does with a request never ends the sidecar.
func TestDecode(t *testing.T) {
	if err := decode(func([]byte) error { panic("a defect") }, nil); !errors.Is(err, errMalformed) {
		t.Errorf("a panic is %v", err)
	}
	if err := decode(func([]byte) error { return io.EOF }, nil); !errors.Is(err, errMalformed) || !errors.Is(err, io.EOF) {
		t.Errorf("an error is %v", err)
	}
	if err := decode(func([]byte) error { return nil }, nil); err != nil {
		t.Error(err)
	}
}

// Every signal is counted and handed on, in both encodings.
func TestReceiver_EverySignal(t *testing.T) {
	td, md, ld := ptrace.NewTraces(), pmetric.NewMetrics(), plog.NewLogs()
	for range 2 {
		td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("a")
		md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptySum().DataPoints().AppendEmpty().SetIntValue(1)
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("text")
	}
	must := func(body []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	bodies := map[ledger.Signal]map[encoding][]byte{
		ledger.Traces:  {protobuf: must(new(ptrace.ProtoMarshaler).MarshalTraces(td)), jsonText: must(new(ptrace.JSONMarshaler).MarshalTraces(td))},
		ledger.Metrics: {protobuf: must(new(pmetric.ProtoMarshaler).MarshalMetrics(md)), jsonText: must(new(pmetric.JSONMarshaler).MarshalMetrics(md))},
		ledger.Logs:    {protobuf: must(new(plog.ProtoMarshaler).MarshalLogs(ld)), jsonText: must(new(plog.JSONMarshaler).MarshalLogs(ld))},
	}
	for signal, encodings := range bodies {
		for e, body := range encodings {
			k := newTaker(never)
			seen, fail := 0, error(nil)
			see := func(ctx context.Context) error {
				r := wire.FromContext(ctx)
				if sum, err := wire.Scan(signal, r.Body); err != nil || sum.Items != r.Items {
					t.Errorf("%s: handed on %d items: %+v, %v", signal, r.Items, sum, err)
				}
				seen += r.Items
				return fail
			}
			nextTraces, _ := consumer.NewTraces(func(ctx context.Context, _ ptrace.Traces) error { return see(ctx) })
			nextMetrics, _ := consumer.NewMetrics(func(ctx context.Context, _ pmetric.Metrics) error { return see(ctx) })
			nextLogs, _ := consumer.NewLogs(func(ctx context.Context, _ plog.Logs) error { return see(ctx) })
			k.consumers = [3]pipeline{ledger.Traces: traces(nextTraces), ledger.Metrics: metrics(nextMetrics), ledger.Logs: logs(nextLogs)}
			if p, err := k.take(t.Context(), signal, body, e); err != nil || p.rejected != 0 {
				t.Errorf("%s: %+v, %v", signal, p, err)
			}
			if got := k.stats.Counters(signal).Entry(); seen != 2 || got.Accepted != 2 {
				t.Errorf("%s: handed on %d, the ledger has %+v", signal, seen, got)
			}
			if _, err := k.take(t.Context(), signal, []byte("garbage"), e); !errors.Is(err, errMalformed) {
				t.Errorf("%s: garbage is %v", signal, err)
			}
			fail = errors.New("memory is short")
			if _, err := k.take(t.Context(), signal, body, e); !errors.Is(err, fail) {
				t.Errorf("%s: an error of the pipeline is %v", signal, err)
			}
		}
	}
}

func TestConfig_Validate(t *testing.T) {
	valid := func() *Config {
		c := &Config{Listen: []string{"x"}, MaxRequestBytes: 1, HeldBytes: 1, Concurrency: 1, MessageTimeout: 1}
		c.Piece.Bytes, c.Piece.Items, c.JSONMemory = 1, 1, 1
		return c
	}
	if err := valid().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"no address":                    func(c *Config) { c.Listen = nil },
		"no limit of a request":         func(c *Config) { c.MaxRequestBytes = 0 },
		"no limit of what is held":      func(c *Config) { c.HeldBytes = 0 },
		"no concurrency":                func(c *Config) { c.Concurrency = 0 },
		"no timeout":                    func(c *Config) { c.MessageTimeout = 0 },
		"pieces without a limit":        func(c *Config) { c.Piece.Bytes = 0 },
		"pieces of any number of items": func(c *Config) { c.Piece.Items = 0 },
		"JSON of any memory":            func(c *Config) { c.JSONMemory = 0 },
	} {
		c := valid()
		change(c)
		if c.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}

// silence is a listener that nobody connects to.
type silence chan struct{}

func (s silence) Accept() (net.Conn, error) { <-s; return nil, net.ErrClosed }

func (s silence) Close() error { close(s); return nil }

func (silence) Addr() net.Addr { return &net.TCPAddr{} }

// An address that is in use is told once, and tried again until it is free.
func TestServer_AddressInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := newServer(&Config{Listen: []string{"first", "second"}, StopTimeout: time.Second}, zap.New(core), new(ledger.Ledger))
		var mu sync.Mutex
		begun, tried := time.Now(), map[string][]time.Duration{}
		s.listen = func(_ context.Context, address string) (net.Listener, error) {
			mu.Lock()
			defer mu.Unlock()
			tried[address] = append(tried[address], time.Since(begun))
			if len(tried[address]) < 4 && address == "first" {
				return nil, errors.New("address already in use")
			}
			return make(silence), nil
		}
		if err := s.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		_ = s.Start(t.Context(), nil) // the pipelines of all signals start it
		time.Sleep(time.Minute)
		synctest.Wait()
		if first := tried["first"]; len(first) != 4 || first[3] != 3*listenRetry || len(tried["second"]) != 1 {
			t.Errorf("tried at %v", tried)
		}
		if lines := logs.All(); len(lines) != 1 || lines[0].ContextMap()["address"] != "first" {
			t.Errorf("logged %v", lines)
		}
		_ = s.Shutdown(t.Context())
		_ = s.Shutdown(t.Context())
	})
}

func TestServer_ShutdownWhileAddressIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(&Config{Listen: []string{"first"}}, zap.NewNop(), new(ledger.Ledger))
		s.listen = func(context.Context, string) (net.Listener, error) { return nil, errors.New("address already in use") }
		_ = s.Start(t.Context(), nil)
		synctest.Wait()
		begun := time.Now()
		_ = s.Shutdown(t.Context())
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) { // nothing that it started is left when it returns
		s := newServer(&Config{Listen: []string{"first"}}, zap.NewNop(), new(ledger.Ledger))
		tries := 0
		s.listen = func(ctx context.Context, _ string) (net.Listener, error) {
			if tries++; tries > 1 {
				<-ctx.Done()
				time.Sleep(time.Second)
			}
			return nil, errors.New("address already in use")
		}
		_ = s.Start(t.Context(), nil)
		time.Sleep(listenRetry)
		synctest.Wait()
		begun := time.Now()
		_ = s.Shutdown(t.Context())
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it returned after %s, its work after a second", took)
		}
	})
	never := newServer(&Config{}, zap.NewNop(), new(ledger.Ledger)) // as when another component does not start
	if err := never.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A request under way at the end is answered; one that does not end is cut off.
func TestServer_Shutdown(t *testing.T) {
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	config := Config{Listen: []string{"127.0.0.1:0"}, MaxRequestBytes: 1 << 20, HeldBytes: 1 << 20, Concurrency: 1, MessageTimeout: time.Minute, StopTimeout: 100 * time.Millisecond}
	next, _ := consumer.NewTraces(func(ctx context.Context, _ ptrace.Traces) error {
		entered <- struct{}{}
		select {
		case <-leave:
		case <-ctx.Done():
		}
		return nil
	})
	for name, ends := range map[string]bool{"that ends": true, "that does not end": false} {
		t.Run("a request "+name, func(t *testing.T) {
			factory := NewFactory(config, new(ledger.Ledger))
			set := receiver.Settings{ID: component.NewID(Type)}
			set.Logger = zap.NewNop()
			made, err := factory.CreateTraces(t.Context(), set, factory.CreateDefaultConfig(), next)
			if err != nil {
				t.Fatal(err)
			}
			s := made.(*server)
			if ends {
				s.config.StopTimeout = time.Minute
			} else {
				s.config.StopTimeout = 10 * time.Millisecond
			}
			var address string
			s.listen = func(ctx context.Context, a string) (net.Listener, error) {
				l, err := listen(ctx, a)
				address = l.Addr().String()
				return l, err
			}
			if err := s.Start(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			answered := make(chan error, 1)
			go func() {
				_, err := http.Post("http://"+address+"/v1/traces", typeProtobuf, nil)
				answered <- err
			}()
			<-entered
			stopped := make(chan struct{})
			go func() { _ = s.Shutdown(context.WithoutCancel(t.Context())); close(stopped) }()
			if ends {
				leave <- struct{}{}
			}
			if err := <-answered; (err == nil) != ends {
				t.Errorf("the sender got %v", err)
			}
			<-stopped
			if _, err := net.Dial("tcp", address); err == nil {
				t.Error("it still listens")
			}
		})
	}
}
