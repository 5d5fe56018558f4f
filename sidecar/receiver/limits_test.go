package receiver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nova/novawire/sidecar/ledger"
)

// Senders that stand still do not hold up others, whatever they stand still in: those
// would wait for an hour.
func TestReceiver_SlowSenders(t *testing.T) {
	slow := map[string]func(t *testing.T, r running){
		"64 streams without a message": func(t *testing.T, r running) {
			conn := r.dial(t)
			for range 64 {
				stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/"+services[ledger.Traces]+"/Export")
				if err != nil {
					t.Fatal(err)
				}
				_ = stream
			}
		},
		"bodies that break off": func(t *testing.T, r running) {
			for range 40 {
				r.send(t, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 900000\r\n\r\nxxxx")
			}
		},
		"headers that break off": func(t *testing.T, r running) {
			for range 40 {
				r.send(t, "POST /v1/traces HTTP/1.1\r\nHost:")
			}
		},
		"connections that say nothing": func(t *testing.T, r running) {
			for range 40 {
				r.send(t, "")
			}
		},
		"half of HTTP/2's preface": func(t *testing.T, r running) {
			for range 40 {
				r.send(t, "PRI * HT")
			}
		},
	}
	for name, stand := range slow {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(c *Config) { c.MessageTimeout = time.Hour })
			stand(t, r)
			if status, _ := r.post(t, typeProtobuf, "", request(t, "http")); status != 200 {
				t.Errorf("HTTP is answered %d", status)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := ptraceotlp.NewGRPCClient(r.dial(t)).Export(ctx, ptraceotlp.NewExportRequest()); err != nil {
				t.Errorf("gRPC is answered %v", err)
			}
		})
	}
}

// A message that does not arrive in time is given up, and counted.
func TestReceiver_MessageTimeout(t *testing.T) {
	r := start(t, func(c *Config) { c.MessageTimeout = 100 * time.Millisecond })
	conn := r.send(t, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 900\r\n\r\nxxxx")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "408") {
		t.Errorf("answered %q, %v; want 408", line, err)
	}
	if r.refused(ledger.Incomplete) != 1 {
		t.Errorf("refused requests: %v", r.stats.Entries()["traces"].RefusedRequests)
	}
}

// A sender of too much reads why, and does not see its connection reset.
func TestReceiver_TooLargeIsAnswered(t *testing.T) {
	body := make([]byte, 5<<20)
	send := map[string]func(r running) (*http.Response, error){
		"with a length": func(r running) (*http.Response, error) {
			return http.Post("http://"+r.address+"/v1/traces", typeProtobuf, bytes.NewReader(body))
		},
		"in chunks": func(r running) (*http.Response, error) {
			return http.Post("http://"+r.address+"/v1/traces", typeProtobuf, io.MultiReader(bytes.NewReader(body)))
		},
		"that is read after all is sent": func(r running) (*http.Response, error) {
			conn, err := net.Dial("tcp", r.address)
			if err != nil {
				return nil, err
			}
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n", len(body))
			for sent := 0; err == nil && sent < len(body); sent += 1 << 20 {
				_, err = conn.Write(body[sent : sent+1<<20])
			}
			if err != nil {
				return nil, err
			}
			return http.ReadResponse(bufio.NewReader(conn), nil)
		},
		"that asks first": func(r running) (*http.Response, error) {
			unsent := iotest.ErrReader(errors.New("the body is asked for"))
			q, _ := http.NewRequest(http.MethodPost, "http://"+r.address+"/v1/traces", unsent)
			q.ContentLength = int64(len(body))
			q.Header.Set("Content-Type", typeProtobuf)
			q.Header.Set("Expect", "100-continue")
			return (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}}).Do(q)
		},
	}
	for name, post := range send {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			for range 10 {
				response, err := post(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				if response.StatusCode != http.StatusRequestEntityTooLarge || !response.Close {
					t.Errorf("answered %s, close: %v", response.Status, response.Close)
				}
			}
			if r.refused(ledger.TooBig) != 10 {
				t.Errorf("refused requests: %v", r.stats.Entries()["traces"].RefusedRequests)
			}
		})
	}
	t.Run("of a type that is not taken", func(t *testing.T) {
		r := start(t, nil)
		response, err := http.Post("http://"+r.address+"/v1/traces", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnsupportedMediaType || !response.Close {
			t.Errorf("answered %s, close: %v", response.Status, response.Close)
		}
	})
	t.Run("malformed: the connection is kept", func(t *testing.T) {
		r := start(t, nil)
		response, _ := r.do(t, typeProtobuf, "", []byte("garbage"))
		if response.StatusCode != http.StatusBadRequest || response.Close {
			t.Errorf("answered %s, close: %v", response.Status, response.Close)
		}
	})
	t.Run("by gRPC", func(t *testing.T) {
		r := start(t, nil)
		in := ptraceotlp.NewExportRequest()
		in.Traces().ResourceSpans().AppendEmpty().SetSchemaUrl(string(body))
		_, err := ptraceotlp.NewGRPCClient(r.dial(t)).Export(t.Context(), in, grpc.MaxCallSendMsgSize(64<<20))
		if status.Code(err) != codes.ResourceExhausted || r.refused(ledger.TooBig) != 1 {
			t.Errorf("answered %v", err)
		}
	})
}

// Bodies are read in turn where they do not fit the budget together, and all are taken.
func TestReceiver_BodiesInTurn(t *testing.T) {
	r := start(t, nil)
	name := strings.Repeat("x", 200<<10)
	body := request(t, name, name, name, name)
	var sending sync.WaitGroup
	for range 8 {
		sending.Go(func() {
			if status, answer := r.post(t, typeProtobuf, "", body); status != 200 {
				t.Errorf("answered %d %q", status, answer)
			}
		})
	}
	sending.Wait()
	if got := len(r.sink.spans()); got != 32 {
		t.Errorf("took %d spans, want 32", got)
	}
}

// Whatever way a connection ends, the receiver keeps nothing of it.
func TestReceiver_LeaksNothing(t *testing.T) {
	body := request(t, "span")
	paths := map[string]func(t *testing.T, r running){
		"closed at once":           func(t *testing.T, r running) { _ = r.send(t, "").Close() },
		"closed after two bytes":   func(t *testing.T, r running) { _ = r.send(t, "PO").Close() },
		"closed in the preface":    func(t *testing.T, r running) { _ = r.send(t, "PRI * HTTP/2.0\r\n").Close() },
		"closed after the preface": func(t *testing.T, r running) { _ = r.send(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").Close() },
		"closed in the headers":    func(t *testing.T, r running) { _ = r.send(t, "POST /v1/traces HTTP/1.1\r\nHo").Close() },
		"closed in the body": func(t *testing.T, r running) {
			_ = r.send(t, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\nx").Close()
		},
		"another protocol": func(t *testing.T, r running) { _ = r.send(t, "\x16\x03\x01\x02\x00hello\r\n\r\n").Close() },
		"a request and an orderly end": func(t *testing.T, r running) {
			r.post(t, typeProtobuf, "", body)
			http.DefaultClient.CloseIdleConnections()
		},
		"a call and an orderly end": func(t *testing.T, r running) {
			conn := r.dial(t)
			_, _ = ptraceotlp.NewGRPCClient(conn).Export(t.Context(), ptraceotlp.NewExportRequest())
			_ = conn.Close()
		},
	}
	for name, use := range paths {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			for range 50 {
				use(t, r)
			}
			r.awaitClosed(t, 50)
			r.awaitForgotten(t)
		})
	}
}

// awaitForgotten waits until nothing refers to the connections any more: what is registered
// for one that is closed, as a function that is to close it at shutdown, holds its memory.
func (r running) awaitForgotten(t *testing.T) {
	t.Helper()
	held := 0
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		runtime.GC()
		if held = r.accepted.held(); held == 0 {
			return
		}
	}
	t.Errorf("something still refers to %d closed connections", held)
}

// awaitClosed waits until so many connections were accepted and closed.
func (r running) awaitClosed(t *testing.T, want int) {
	t.Helper()
	accepted, closed := 0, 0
	for closed < want || closed < accepted {
		select {
		case state := <-r.conns:
			switch state {
			case http.StateNew:
				accepted++
			case http.StateClosed:
				closed++
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("of %d connections %d are accepted, %d closed", want, accepted, closed)
		}
	}
}
