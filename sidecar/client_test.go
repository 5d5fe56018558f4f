package sidecar_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// client is an application's SDK as far as OTLP goes: it never repeats, and it
// knows what was taken.
type client struct {
	t       testing.TB
	address string
	conn    *grpc.ClientConn

	next     atomic.Uint64
	accepted atomic.Int64 // items of requests that were answered well
	refused  atomic.Int64
}

func newClient(t testing.TB, address string) *client {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, address: address, conn: conn}
}

// spans makes a request of n spans with identities of their own, each padded.
func (c *client) spans(n, padding int) ptrace.Traces {
	td := ptrace.NewTraces()
	resource := td.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "checkout")
	scope := resource.ScopeSpans().AppendEmpty()
	for range n {
		id := c.next.Add(1)
		span := scope.Spans().AppendEmpty()
		span.SetTraceID(pcommon.TraceID{0: 1, 15: byte(id)})
		span.SetSpanID(pcommon.SpanID{byte(id >> 56), byte(id >> 48), byte(id >> 40), byte(id >> 32), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
		span.SetName("GET /cart")
		span.SetKind(ptrace.SpanKindServer)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Unix(1_800_000_000, int64(id))))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(time.Unix(1_800_000_000, int64(id)+1_000_000)))
		span.Attributes().PutStr("http.request.method", "GET")
		span.Attributes().PutInt("http.response.status_code", 200)
		span.Attributes().PutStr("url.path", fmt.Sprint("/cart/", id))
		if padding > 0 {
			span.Attributes().PutStr("padding", string(bytes.Repeat([]byte{'x'}, padding)))
		}
	}
	return td
}

// countPartial counts items of which some were rejected with a partial success.
func (c *client) countPartial(items, rejected int) error {
	c.refused.Add(int64(rejected))
	return c.count(items-rejected, nil)
}

func (c *client) count(items int, err error) error {
	if err == nil {
		c.accepted.Add(int64(items))
	} else {
		c.refused.Add(int64(items))
	}
	return err
}

// send sends spans by gRPC.
func (c *client) send(td ptrace.Traces) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // longer than the sidecar lets a request wait
	defer cancel()
	items := td.SpanCount()
	response, err := ptraceotlp.NewGRPCClient(c.conn).Export(ctx, ptraceotlp.NewExportRequestFromTraces(td))
	if err != nil {
		return c.count(items, err)
	}
	return c.countPartial(items, int(response.PartialSuccess().RejectedSpans()))
}

// post sends spans by HTTP.
func (c *client) post(td ptrace.Traces) error {
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.postForAnswer("traces", "application/x-protobuf", body)
	response := ptraceotlp.NewExportResponse()
	if err == nil {
		err = response.UnmarshalProto(answer)
	}
	if err != nil {
		return c.count(td.SpanCount(), err)
	}
	return c.countPartial(td.SpanCount(), int(response.PartialSuccess().RejectedSpans()))
}

func (c *client) postBody(signal, kind string, body []byte) error {
	_, err := c.postForAnswer(signal, kind, body)
	return err
}

func (c *client) postForAnswer(signal, kind string, body []byte) ([]byte, error) {
	response, err := http.Post("http://"+c.address+"/v1/"+signal, kind, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s", response.Status)
	}
	return answer, err
}

// records sends log records by gRPC.
func (c *client) records(n int) error {
	ld := plog.NewLogs()
	scope := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for range n {
		scope.LogRecords().AppendEmpty().Body().SetStr(fmt.Sprint("record ", c.next.Add(1)))
	}
	_, err := plogotlp.NewGRPCClient(c.conn).Export(context.Background(), plogotlp.NewExportRequestFromLogs(ld))
	return c.count(n, err)
}

// points sends data points of every kind of metric by gRPC.
func (c *client) points(n int) error {
	md := pmetric.NewMetrics()
	scope := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	gauge := scope.Metrics().AppendEmpty().SetEmptyGauge()
	sum := scope.Metrics().AppendEmpty().SetEmptySum()
	histogram := scope.Metrics().AppendEmpty().SetEmptyHistogram()
	exponential := scope.Metrics().AppendEmpty().SetEmptyExponentialHistogram()
	summary := scope.Metrics().AppendEmpty().SetEmptySummary()
	for i := range n {
		id := fmt.Sprint("point ", c.next.Add(1))
		switch i % 5 {
		case 0:
			gauge.DataPoints().AppendEmpty().Attributes().PutStr("id", id)
		case 1:
			sum.DataPoints().AppendEmpty().Attributes().PutStr("id", id)
		case 2:
			histogram.DataPoints().AppendEmpty().Attributes().PutStr("id", id)
		case 3:
			exponential.DataPoints().AppendEmpty().Attributes().PutStr("id", id)
		case 4:
			summary.DataPoints().AppendEmpty().Attributes().PutStr("id", id)
		}
	}
	_, err := pmetricotlp.NewGRPCClient(c.conn).Export(context.Background(), pmetricotlp.NewExportRequestFromMetrics(md))
	return c.count(n, err)
}
