package exporter

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// A backend that takes less than a batch gets less, down to a single item.
func TestExporter_TooLarge(t *testing.T) {
	const limit = 700
	byHTTP := func(t *testing.T) (url, protocol string, spans func() []string) {
		b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ int, body []byte) bool {
			if len(body) > limit {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}
			return len(body) <= limit
		})
		return b.URL, "http/protobuf", func() []string { b.mu.Lock(); defer b.mu.Unlock(); return b.spans }
	}
	byGRPC := func(text string, code codes.Code) func(t *testing.T) (string, string, func() []string) {
		return func(t *testing.T) (string, string, func() []string) {
			g := newGRPCBackend(t, func(in ptraceotlp.ExportRequest) error {
				if body, _ := in.MarshalProto(); len(body) > limit {
					return status.Error(code, text)
				}
				return nil
			})
			return "http://" + g.address, "grpc", func() []string { g.mu.Lock(); defer g.mu.Unlock(); return g.spans }
		}
	}
	for name, make := range map[string]func(*testing.T) (string, string, func() []string){
		"HTTP":       byHTTP,
		"gRPC, Go":   byGRPC("grpc: received message larger than max (5000 vs. 700)", codes.ResourceExhausted),
		"gRPC, Java": byGRPC("gRPC message exceeds maximum size 700: 5000", codes.ResourceExhausted),
		"gRPC, Rust": byGRPC("Error, decoded message length too large: found 5000 bytes, the limit is: 700 bytes", codes.OutOfRange),
	} {
		t.Run(name, func(t *testing.T) {
			url, protocol, spans := make(t)
			s := start(t, url, protocol, nil)
			want := append(numbered(200), strings.Repeat("x", 2*limit))
			s.send(t, want...)
			s.eventually(t, "an outcome", func() bool { e := s.entry(); return e.Exported+e.Dropped["oversize"]+e.Dropped["rejected"] == 201 })
			if diff := cmp.Diff(want[:200], spans()); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			if e := s.entry(); e.Exported != 200 || e.Dropped["oversize"] != 1 {
				t.Errorf("the ledger has %+v, want 200 exported and one oversize", e)
			}
			if got := s.line("backend refused a request for its size; it is sent in smaller ones from now on"); got == nil || got["max_bytes"] != int64(minRequest) {
				t.Errorf("logged %v", got)
			}
			if s.line("item dropped: the backend refused it for its size") == nil {
				t.Errorf("logged %v", s.logs.All())
			}
			s.send(t, numbered(200)...)
			s.eventually(t, "later batches are exported", func() bool { return s.entry().Exported == 400 })
		})
	}
}

// A size that the backend refused is not tried again.
func TestExporter_RemembersSize(t *testing.T) {
	var refused atomic.Int64
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ int, body []byte) bool {
		if len(body) > 8<<10 {
			refused.Add(1)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return len(body) <= 8<<10
	})
	s := start(t, b.URL, "http/protobuf", nil)
	var first int64
	for batch := range int64(3) {
		s.send(t, numbered(900)...) // some 13 kB
		s.eventually(t, "the batch is exported", func() bool { return s.entry().Exported == 900*(batch+1) })
		if batch == 0 {
			first = refused.Load()
		}
	}
	if got := refused.Load(); first == 0 || got != first {
		t.Errorf("%d requests of the first batch were refused for their size, and %d later", first, got-first)
	}
}

// OTLP's table of codes (OTLP specification, "Failures"), and RetryInfo, which makes
// RESOURCE_EXHAUSTED retryable and nothing else.
func TestClassifyGRPC(t *testing.T) {
	retry := &errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)}
	with := func(code codes.Code, details bool) error {
		s := status.New(code, "no")
		if details {
			s, _ = s.WithDetails(retry)
		}
		return s.Err()
	}
	want := map[codes.Code]outcome{
		codes.Canceled: retryable, codes.Unknown: permanent, codes.InvalidArgument: permanent, codes.DeadlineExceeded: retryable,
		codes.NotFound: permanent, codes.AlreadyExists: permanent, codes.PermissionDenied: permanent, codes.ResourceExhausted: permanent,
		codes.FailedPrecondition: permanent, codes.Aborted: retryable, codes.OutOfRange: retryable, codes.Unimplemented: permanent,
		codes.Internal: permanent, codes.Unavailable: retryable, codes.DataLoss: retryable, codes.Unauthenticated: permanent,
	}
	for code, outcome := range want {
		if got := classifyGRPC(with(code, false)); got.outcome != outcome || got.after != 0 {
			t.Errorf("%s: got %+v, want %d", code, got, outcome)
		}
		withInfo := outcome
		if code == codes.ResourceExhausted {
			withInfo = retryable
		}
		if got := classifyGRPC(with(code, true)); got.outcome != withInfo || got.after != 3*time.Second {
			t.Errorf("%s with RetryInfo: got %+v, want %d", code, got, withInfo)
		}
	}
}

// OTLP's table of HTTP (OTLP specification, "OTLP/HTTP Response").
func TestClassifyHTTP(t *testing.T) {
	for code := 200; code < 600; code++ {
		want := permanent
		switch code {
		case 429, 502, 503, 504:
			want = retryable
		case 413:
			want = tooLarge
		}
		if code/100 == 2 {
			want = exported
		}
		response := &http.Response{StatusCode: code, Status: fmt.Sprint(code), Header: http.Header{"Retry-After": {"7"}}}
		got := classifyHTTP(response, nil)
		if got.outcome != want {
			t.Errorf("%d: got %d, want %d", code, got.outcome, want)
		}
		if want == retryable && got.after != 7*time.Second {
			t.Errorf("%d: waits %s, want 7s", code, got.after)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, " 5 ": 5 * time.Second, "-5": 0, "soon": 0, "Thu, 01 Jan 1970 00:00:00 GMT": 0,
	} {
		if got := retryAfter(value); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if got := retryAfter(date); got < 59*time.Minute || got > time.Hour {
		t.Errorf("%q: got %s, want an hour", date, got)
	}
}

// A pause is what the backend asks for, and short in a drain.
func TestExporter_Pause(t *testing.T) {
	e := &signalExporter{drain: newDrain()}
	begun := time.Now()
	e.pause(30 * time.Millisecond)
	if took := time.Since(begun); took < 30*time.Millisecond {
		t.Errorf("paused for %s, want 30ms", took)
	}
	time.AfterFunc(20*time.Millisecond, func() { e.drain.begin(time.Minute) })
	e.pause(time.Hour) // ends with the beginning of the drain
	begun = time.Now()
	e.pause(time.Hour)
	if took := time.Since(begun); took < firstPause || took > firstPause+5*time.Second {
		t.Errorf("paused for %s in a drain, want %s", took, firstPause)
	}
	e.drain.over()
	e.pause(time.Hour)
}

func TestJitter(t *testing.T) {
	for range 1000 {
		if got := jitter(time.Second); got < 500*time.Millisecond || got > 1500*time.Millisecond {
			t.Fatalf("got %s, want half to one and a half seconds", got)
		}
	}
}

// An interrupted batch that was sent in part is counted in part.
func TestExporter_InterruptedInPart(t *testing.T) {
	refused := make(chan struct{}, 100)
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, request int, body []byte) bool {
		switch {
		case bytes.Contains(body, []byte("span 9")) && bytes.Contains(body, []byte("span 0")):
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case bytes.Contains(body, []byte("span 9")):
			w.WriteHeader(http.StatusServiceUnavailable)
			refused <- struct{}{}
		default:
			return true
		}
		return false
	})
	s := start(t, b.URL, "http/protobuf", func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
	s.send(t, numbered(10)...)
	<-refused // the first half was taken
	_ = s.Shutdown(t.Context())
	if e := s.entry(); e.Exported != 5 || e.Dropped["shutdown"] != 5 {
		t.Errorf("the ledger has %+v, want 5 exported and 5 dropped at shutdown", e)
	}
}
