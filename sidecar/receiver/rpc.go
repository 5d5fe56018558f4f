package receiver

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // requests may be compressed
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/nova/novawire/sidecar/ledger"
)

// services are OTLP's, by signal.
var services = [...]string{
	ledger.Traces:  "opentelemetry.proto.collector.trace.v1.TraceService",
	ledger.Metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
	ledger.Logs:    "opentelemetry.proto.collector.logs.v1.LogsService",
}

// newRPC makes a server of small buffers. A stream that waits for its turn holds
// one window, the least that gRPC has; the rest waits with its sender. A sender
// that stands still in the middle of a request is given up by keepalive.
func (s *server) newRPC() *grpc.Server {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(raw{}),
		grpc.MaxRecvMsgSize(s.config.MaxRequestBytes),
		grpc.MaxConcurrentStreams(16),
		grpc.InitialWindowSize(64<<10),
		grpc.InitialConnWindowSize(128<<10),
		grpc.ReadBufferSize(16<<10),
		grpc.WriteBufferSize(4<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	for _, signal := range ledger.Signals {
		server.RegisterService(s.describe(signal), nil)
	}
	return server
}

// describe is the service without generated code, and as a stream: a unary
// method would have the whole request in memory before it is asked.
func (s *server) describe(signal ledger.Signal) *grpc.ServiceDesc {
	export := func(_ any, stream grpc.ServerStream) error {
		release, err := s.turn(stream.Context())
		if err != nil {
			return status.FromContextError(err).Err()
		}
		defer release()
		var body mem.Buffer
		if err := stream.RecvMsg(&body); err != nil {
			if status.Code(err) == codes.ResourceExhausted {
				s.book.Of(signal).RefuseRequest(ledger.TooBig)
			}
			return err
		}
		defer body.Free()
		if err := s.take(stream.Context(), signal, body.ReadOnlyData(), protobuf); err != nil {
			return status.Error(code(err), err.Error())
		}
		return stream.SendMsg(nothing)
	}
	return &grpc.ServiceDesc{
		ServiceName: services[signal],
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: "Export", Handler: export, ClientStreams: true}},
	}
}

// code tells the sender whether it may try again.
func code(err error) codes.Code {
	switch {
	case errors.Is(err, errMalformed):
		return codes.InvalidArgument
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case consumererror.IsPermanent(err):
		return codes.Internal
	}
	return codes.Unavailable
}

// nothing is the response to all that went well: an empty message.
var nothing = mem.BufferSlice{}

// raw hands messages through as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) { return v.(mem.BufferSlice), nil }

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*mem.Buffer) = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}
