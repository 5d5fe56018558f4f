package exporter

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// What a backend says of a partial success, in every form that protobuf allows, and in
// forms that it does not.
func TestAcknowledged(t *testing.T) {
	field := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	count := func(n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), n)
	}
	text := func(s string) []byte { return field(2, []byte(s)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	cases := map[string]struct {
		response []byte
		rejected int
		message  string
	}{
		"nothing":                                {nil, 0, ""},
		"an empty partial success":               {field(1, nil), 0, ""},
		"a count and a message":                  {field(1, join(count(3), text("old"))), 3, "old"},
		"a message and a count":                  {field(1, join(text("old"), count(3))), 3, "old"},
		"a count alone":                          {field(1, count(1)), 1, ""},
		"a message alone":                        {field(1, text("use v2")), 0, "use v2"},
		"unknown fields around them":             {field(1, join(field(9, []byte("x")), count(3), field(9, []byte("y")), text("old"), field(9, nil))), 3, "old"},
		"a later field of the response":          {join(field(1, count(2)), field(2, count(5))), 2, ""},
		"another field":                          {field(2, count(5)), 0, ""},
		"the field as a number":                  {count(5), 0, ""},
		"a count as bytes":                       {field(1, join(field(1, []byte{5}), text("old"))), 0, "old"},
		"a message as a number":                  {field(1, join(count(3), protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 7))), 3, ""},
		"a count beyond any request":             {field(1, count(1<<40)), 1 << 31, ""},
		"a negative count with a message":        {field(1, join(count(1<<63), text("x"))), 0, "x"},
		"a negative count alone":                 {field(1, count(1<<63)), 0, ""},
		"broken off after the tag":               {field(1, count(3))[:1], 0, ""},
		"broken off in the tag":                  {[]byte{0x80}, 0, ""},
		"broken off in the message":              {field(1, join(count(3), text("too old")))[:8], 3, "to"},
		"broken off before the message's length": {field(1, join(count(3), text("old")))[:5], 3, ""},
		"broken off in a tag of the content":     {field(1, join(count(3), []byte{0x80})), 3, ""},
		"broken off in the count":                {field(1, []byte{0x08, 0x80}), 0, ""},
		"text after a message that breaks off":   {append(field(1, join(count(3), text("old")))[:6], ""...), 3, ""},
		"HTML":                                   {[]byte("<html>"), 0, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := acknowledged(c.response)
			if got.outcome != exported || got.rejected != c.rejected {
				t.Errorf("got %+v, want %d rejected", got, c.rejected)
			}
			switch {
			case got.err == nil && (c.message != "" || c.rejected != 0):
				t.Errorf("no message, want %q", c.message)
			case got.err != nil && got.err.Error() != c.message:
				t.Errorf("the message is %q, want %q", got.err, c.message)
			}
		})
	}
}

// A message that the backend sends is read where OTLP and where others put it.
func TestExplanation(t *testing.T) {
	cases := map[string]struct{ kind, body, want string }{
		"JSON with a message":    {"application/json", `{"message":"no tenant"}`, ": no tenant"},
		"JSON without a message": {"application/json; charset=utf-8", `{"error":"no tenant"}`, `: {"error":"no tenant"}`},
		"JSON that is text":      {"application/json", "no tenant", ": no tenant"},
		"JSON that breaks off":   {"application/json", `{"message":"no tenant"`, `: {"message":"no tenant"`},
		"protobuf that is text":  {"application/x-protobuf", "no tenant", ": no tenant"},
		"an empty Status":        {"application/x-protobuf", "", ""},
		"spaces":                 {"text/plain", " \n", ""},
		"invalid text":           {"text/plain", "a\xffb", ": a\uFFFDb"},
		"a long text":            {"text/plain", strings.Repeat("x", 2000), ": " + clip(strings.Repeat("x", 2000))},
	}
	for name, c := range cases {
		response := &http.Response{Header: http.Header{"Content-Type": {c.kind}}}
		if got := explanation(response, []byte(c.body)); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := len(clip(strings.Repeat("x", 2000))); got > 1100 {
		t.Errorf("clipped to %d bytes", got)
	}
	plain := errors.New("not of a URL")
	if got := cause(plain); !errors.Is(got, plain) {
		t.Errorf("the cause of an error without a URL is %v", got)
	}
}

func TestIsTooLarge(t *testing.T) {
	for message, want := range map[string]bool{
		"grpc: received message larger than max (5 vs. 4)":           true,
		"Received message larger than max (5 vs. 4)":                 true, // C++
		"gRPC message exceeds maximum size 4: 5":                     true,
		"Error, decoded message length too large: found 5, limit: 4": true,
		"RESOURCE EXHAUSTED: MESSAGE LARGER THAN MAX":                true,
		"quota exceeded": false,
	} {
		got := classifyGRPC(status.Error(codes.ResourceExhausted, message))
		if (got.outcome == tooLarge) != want {
			t.Errorf("%q: got %+v", message, got)
		}
		if got := classifyGRPC(status.Error(codes.Internal, message)); got.outcome != permanent {
			t.Errorf("%q with another code: got %+v", message, got)
		}
	}
}

// A kind of event is logged again a minute after it was logged, and not before.
func TestNotices_Interval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		n := newNotices(zap.New(core))
		n.warn("a", "first")
		time.Sleep(noticeInterval)
		n.warn("a", "first")
		time.Sleep(noticeInterval - time.Nanosecond)
		n.warn("a", "first")
		time.Sleep(time.Nanosecond)
		n.warn("a", "first")
		var suppressed []any
		for _, line := range logs.All() {
			suppressed = append(suppressed, line.ContextMap()["suppressed"])
		}
		if len(suppressed) != 3 || suppressed[0] != nil || suppressed[1] != nil || suppressed[2] != int64(1) {
			t.Errorf("logged with suppressed %v", suppressed)
		}
	})
}

// What cannot be cut is an error of the request, which its sender is told not
// to repeat.
func TestEnqueue_Errors(t *testing.T) {
	inTime(t, nil, accept, func(t *testing.T, e *timed) {
		garbage := wire.NewContext(t.Context(), wire.Request{Body: bytes.Repeat([]byte{0xff}, 2000), Items: 5})
		for signal, err := range map[string]error{
			"traces":  traces{e.signalExporter}.ConsumeTraces(garbage, ptrace.NewTraces()),
			"metrics": metrics{e.signalExporter}.ConsumeMetrics(garbage, pmetric.NewMetrics()),
			"logs":    logs{e.signalExporter}.ConsumeLogs(garbage, plog.NewLogs()),
		} {
			if !consumererror.IsPermanent(err) {
				t.Errorf("%s: a request that cannot be cut is answered %v", signal, err)
			}
		}
	})
}

// A request within the limits is queued as it is, and one beyond is cut: by bytes, by
// items and by the bytes of an item.
func TestEnqueue_Limits(t *testing.T) {
	body := encode(numbered(10)...)
	sum, _ := wire.Scan(ledger.Traces, body)
	cases := map[string]struct {
		limits           wire.Limits
		pieces, oversize int
	}{
		"at the limits":             {wire.Limits{Bytes: len(body), Items: 10}, 1, 0},
		"a byte too many":           {wire.Limits{Bytes: len(body) - 1, Items: 10}, 2, 0},
		"an item too many":          {wire.Limits{Bytes: len(body), Items: 9}, 2, 0},
		"items of the most bytes":   {wire.Limits{Bytes: len(body), Items: 10, ItemBytes: sum.LargestItem}, 1, 0},
		"items of a byte too many":  {wire.Limits{Bytes: len(body), Items: 10, ItemBytes: sum.LargestItem - 1}, 0, 10},
		"a request that is an item": {wire.Limits{Bytes: len(body), Items: 10, ItemBytes: len(body)}, 1, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			stats := new(ledger.Counters)
			e := newSignalExporter(&Config{QueueBytes: 1 << 20, Batch: c.limits}, zap.New(core), ledger.Traces, stats, newDrain(), nil)
			e.sender = senderFunc(nil)
			if err := e.enqueue(wire.Request{Body: body, Items: 10}); err != nil {
				t.Fatal(err)
			}
			if got := len(e.queue.waiting); got != c.pieces || e.queue.count != 10-c.oversize {
				t.Errorf("%d pieces with %d items, want %d", got, e.queue.count, c.pieces)
			}
			if got := stats.Entry().Dropped["oversize"]; got != int64(c.oversize) || (logs.Len() > 0) != (c.oversize > 0) {
				t.Errorf("%d are oversize, logged %v", got, logs.All())
			}
		})
	}
}

// Every attempt after the first is counted, and every context is given back.
func TestDeliver_CountsRetries(t *testing.T) {
	var contexts []context.Context // the consumer's alone, until it is idle
	answer := func(ctx context.Context, n int, r request) result {
		contexts = append(contexts, ctx)
		if n < 3 {
			return busy(ctx, n, r)
		}
		return result{}
	}
	inTime(t, nil, answer, func(t *testing.T, e *timed) {
		before := e.all.Activity()
		e.push(spans(5))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := e.all.Activity() - before; got != 3+5 { // retries and exported items
			t.Errorf("%d retries, want 3", got-5)
		}
		for i, ctx := range contexts {
			if ctx.Err() == nil {
				t.Errorf("the context of attempt %d is still open", i)
			}
		}
	})
}

// The limits of the queue are known from the start on, and what is queued all the time.
func TestPush_Room(t *testing.T) {
	inTime(t, nil, hang, func(t *testing.T, e *timed) {
		e.push(spans(5))
		i := spans(5)
		if got, want := e.stats.Room(), e.config.QueueBytes-i.size(); got != want {
			t.Errorf("room for %d bytes, want %d", got, want)
		}
	})
	s := start(t, "http://127.0.0.1:1", "http/protobuf", nil)
	if got := s.stats.Counters(ledger.Traces).QueueLimit(); got != 4<<20 {
		t.Errorf("the limit of the queue is %d", got)
	}
}

// A request is halved where it is larger than what the backend took last, and a single
// item is sent as it is.
func TestSend_KnownSize(t *testing.T) {
	for name, c := range map[string]struct {
		spans, less int
		want        []attempt
	}{
		"of exactly this size":   {4, 0, []attempt{{time.Second, 4}}},
		"of a byte more":         {4, 1, []attempt{{time.Second, 2}, {time.Second, 2}}},
		"of a single large item": {1, 3, []attempt{{time.Second, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, nil, accept, func(t *testing.T, e *timed) {
				i := spans(c.spans)
				e.maxBytes = len(i.body) - c.less
				e.push(i)
				time.Sleep(time.Minute)
				if got := e.requests(); len(got) != len(c.want) || got[0].items != c.want[0].items {
					t.Errorf("requests: %v, want %v", got, c.want)
				}
			})
		})
	}
}

// A batch that the drain interrupts is counted as far as the backend has decided about it:
// exported, rejected, and the rest dropped.
func TestDrain_InterruptsAfterAPart(t *testing.T) {
	answer := func(ctx context.Context, n int, r request) result {
		switch n {
		case 0:
			return result{outcome: tooLarge, err: errors.New("too large")}
		case 1:
			return result{rejected: 1, err: errors.New("too old")}
		}
		return busy(ctx, n, r)
	}
	inTime(t, nil, answer, func(t *testing.T, e *timed) {
		e.push(spans(10))
		time.Sleep(2 * time.Second)
		_ = e.Shutdown(t.Context())
		if got := e.entry(); got.Exported != 4 || got.Dropped["rejected"] != 1 || got.Dropped["shutdown"] != 5 {
			t.Errorf("the ledger has %+v", got)
		}
		if !e.closed {
			t.Error("the sender is not closed")
		}
	})
}

// An exporter whose target cannot be used does not start.
func TestStart_BadTarget(t *testing.T) {
	config := &Config{Protocol: "grpc", Targets: map[string]Target{"traces": {URL: "::"}}}
	e := newSignalExporter(config, zap.NewNop(), ledger.Traces, new(ledger.Counters), newDrain(), nil)
	if err := e.Start(t.Context(), nil); err == nil {
		t.Error("it starts")
	}
}
