package exporter

import (
	"compress/flate"
	"context"
	"net/url"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/nova/novawire/sidecar/ledger"
)

var exportMethods = [...]string{
	ledger.Traces:  "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
	ledger.Metrics: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
	ledger.Logs:    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}

// The fastest level: a pod's processor costs more than its node's network, and
// the compressor of the others keeps half a megabyte more in memory.
func init() {
	if err := gzip.SetLevel(flate.BestSpeed); err != nil {
		panic(err) // the level is right
	}
}

// rpc sends by gRPC. Bodies go out as they lie in the queue.
type rpc struct {
	conn    *grpc.ClientConn
	signal  ledger.Signal
	headers metadata.MD
	options []grpc.CallOption
}

func newRPC(config *Config, target Target, signal ledger.Signal) (sender, error) {
	u, err := url.Parse(target.URL)
	if err != nil {
		return nil, err
	}
	credentials := insecure.NewCredentials()
	if u.Scheme == "https" {
		credentials = newRPCTLS(config.TLS)
	}
	conn, err := grpc.NewClient("dns:///"+u.Host,
		grpc.WithTransportCredentials(credentials),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`), // over the pods of a headless Service
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // the lane's part
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second}, MinConnectTimeout: 5 * time.Second}),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(16<<10),
		grpc.WithUserAgent("novawire-sidecar"),
	)
	if err != nil {
		return nil, err
	}
	options := []grpc.CallOption{grpc.ForceCodecV2(raw{})}
	if config.Compression == "gzip" {
		options = append(options, grpc.UseCompressor(gzip.Name))
	}
	return &rpc{conn: conn, signal: signal, headers: metadata.New(headers(config, target)), options: options}, nil
}

func (r *rpc) close() { _ = r.conn.Close() }

func (r *rpc) send(ctx context.Context, batch []item) outcome {
	request := make(mem.BufferSlice, len(batch))
	for i := range batch {
		request[i] = mem.SliceBuffer(batch[i].body)
	}
	var response []byte
	err := r.conn.Invoke(metadata.NewOutgoingContext(ctx, r.headers), exportMethods[r.signal], request, &response, r.options...)
	if err == nil {
		return acknowledged(r.signal, response)
	}
	return r.judge(err)
}

// judge sorts errors as OTLP does (OTLP specification, "Failures").
func (r *rpc) judge(err error) outcome {
	o := outcome{verdict: permanent, err: err}
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			o.after = retry.GetRetryDelay().AsDuration()
			o.verdict = retryable
		}
	}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		o.verdict = retryable
	case codes.ResourceExhausted: // only with RetryInfo
	default:
		o.verdict = permanent
	}
	return o
}

// raw hands messages through as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) { return v.(mem.BufferSlice), nil }

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
