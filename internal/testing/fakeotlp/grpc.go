package fakeotlp

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // senders compress
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (r *Receiver) newGRPC() *grpc.Server {
	var options []grpc.ServerOption
	if r.options.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(r.options.TLS)))
	}
	server := grpc.NewServer(options...)
	ptraceotlp.RegisterGRPCServer(server, &grpcTraces{r: r})
	pmetricotlp.RegisterGRPCServer(server, &grpcMetrics{r: r})
	plogotlp.RegisterGRPCServer(server, &grpcLogs{r: r})
	return server
}

// handle accepts the request or does what the fault says.
func (r *Receiver) handle(ctx context.Context, q request) (rejected int, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	h := http.Header{}
	for name, values := range md {
		h[http.CanonicalHeaderKey(name)] = values
	}
	r.sawHeaders(h)
	f := r.next()
	if !wait(ctx, f.Delay) {
		return 0, status.FromContextError(ctx.Err()).Err()
	}
	if f.Reset {
		r.listeners[0].reset()
		return 0, status.Error(codes.Unavailable, "reset")
	}
	if f.Refuse != None {
		return 0, refusal(f)
	}
	r.take(q, f.Reject)
	return f.Reject, nil
}

func refusal(f Fault) error {
	s := status.New(map[Refusal]codes.Code{Busy: codes.Unavailable, Limited: codes.ResourceExhausted, Wrong: codes.InvalidArgument}[f.Refuse], "on demand")
	if f.RetryAfter > 0 {
		s, _ = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter)})
	}
	return s.Err()
}

// wait waits, and reports whether the sender is still there afterwards.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

type grpcTraces struct {
	ptraceotlp.UnimplementedGRPCServer
	r *Receiver
}

func (s grpcTraces) Export(ctx context.Context, q ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	response := ptraceotlp.NewExportResponse()
	rejected, err := s.r.handle(ctx, ofTraces(q.Traces()))
	if rejected > 0 {
		response.PartialSuccess().SetRejectedSpans(int64(rejected))
		response.PartialSuccess().SetErrorMessage("on demand")
	}
	return response, err
}

type grpcMetrics struct {
	pmetricotlp.UnimplementedGRPCServer
	r *Receiver
}

func (s grpcMetrics) Export(ctx context.Context, q pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	response := pmetricotlp.NewExportResponse()
	rejected, err := s.r.handle(ctx, ofMetrics(q.Metrics()))
	if rejected > 0 {
		response.PartialSuccess().SetRejectedDataPoints(int64(rejected))
	}
	return response, err
}

type grpcLogs struct {
	plogotlp.UnimplementedGRPCServer
	r *Receiver
}

func (s grpcLogs) Export(ctx context.Context, q plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	response := plogotlp.NewExportResponse()
	rejected, err := s.r.handle(ctx, ofLogs(q.Logs()))
	if rejected > 0 {
		response.PartialSuccess().SetRejectedLogRecords(int64(rejected))
	}
	return response, err
}
