package exporter

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
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

// grpcSender sends by gRPC, without copying the bodies of the queue.
type grpcSender struct {
	conn    *grpc.ClientConn
	signal  ledger.Signal
	headers metadata.MD
	options []grpc.CallOption
}

func newGRPC(config *Config, target Target, signal ledger.Signal) (sender, error) {
	u, err := url.Parse(string(target.URL))
	if err != nil {
		return nil, err
	}
	credentials := insecure.NewCredentials()
	if u.Scheme == "https" {
		credentials = newReloadingCredentials(config.TLS)
	}
	conn, err := grpc.NewClient("dns:///"+u.Host,
		grpc.WithTransportCredentials(credentials),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`), // over the pods of a headless Service
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // signalExporter retries
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second}, MinConnectTimeout: 5 * time.Second}),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(16<<10),
		grpc.WithUserAgent(userAgent()),
	)
	if err != nil {
		return nil, err
	}
	options := []grpc.CallOption{grpc.ForceCodecV2(rawCodec{})}
	if config.Compression == "gzip" {
		options = append(options, grpc.UseCompressor(gzipName))
	}
	return &grpcSender{conn: conn, signal: signal, headers: metadata.New(headers(config, target)), options: options}, nil
}

func (s *grpcSender) close() { _ = s.conn.Close() }

func (s *grpcSender) send(ctx context.Context, r request) result {
	message := make(mem.BufferSlice, len(r.bodies))
	for i := range r.bodies {
		message[i] = mem.SliceBuffer(r.bodies[i])
	}
	var response []byte
	err := s.conn.Invoke(metadata.NewOutgoingContext(ctx, s.headers), exportMethods[s.signal], message, &response, s.options...)
	if err == nil {
		return acknowledged(response)
	}
	return classifyGRPC(err)
}

// classifyGRPC sorts errors as OTLP does (OTLP specification, "Failures"): of a
// RESOURCE_EXHAUSTED only one with RetryInfo may be retried.
func classifyGRPC(err error) result {
	s := status.Convert(err)
	r := result{outcome: permanent, kind: s.Code().String(), err: fmt.Errorf("backend answered %s: %s", s.Code(), clip(s.Message()))}
	hasRetryInfo := false
	for _, detail := range s.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			hasRetryInfo = true
			r.after = retry.GetRetryDelay().AsDuration()
		}
	}
	switch code := s.Code(); {
	case (code == codes.ResourceExhausted || code == codes.OutOfRange) && isTooLarge(s.Message()):
		r.outcome = tooLarge
	case code == codes.ResourceExhausted && hasRetryInfo:
		r.outcome = retryable
	case slices.Contains(retryableCodes, code):
		r.outcome = retryable
	}
	return r
}

var retryableCodes = []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss}

// isTooLarge reports whether the server refused a message for its size. There is no
// code for it, so the texts of gRPC's implementations are known: Go's and C++'s,
// Java's, and Rust's.
func isTooLarge(message string) bool {
	message = strings.ToLower(message)
	return slices.ContainsFunc([]string{"message larger than max", "exceeds maximum size", "message length too large"}, func(known string) bool {
		return strings.Contains(message, known)
	})
}

// rawCodec leaves messages as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	message, ok := v.(mem.BufferSlice)
	if !ok {
		return nil, fmt.Errorf("%T is no encoded message", v)
	}
	return message, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	message, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T takes no encoded message", v)
	}
	*message = data.Materialize()
	return nil
}
