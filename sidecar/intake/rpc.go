package intake

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // requests may be compressed
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
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

// newRPC makes a server of small buffers. Streams beyond the limit wait on
// their connection, which is the back pressure that HTTP/2 has.
func (s *server) newRPC() *grpc.Server {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(raw{}),
		grpc.MaxRecvMsgSize(s.config.MaxRequestBytes),
		grpc.MaxConcurrentStreams(8),
		grpc.ReadBufferSize(16<<10),
		grpc.WriteBufferSize(4<<10),
		grpc.SharedWriteBuffer(true),
		grpc.StatsHandler(oversize{book: s.book}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	for _, signal := range ledger.Signals {
		server.RegisterService(s.describe(signal), nil)
	}
	return server
}

// describe is the service without generated code: bodies stay bytes until it
// is their turn to be decoded.
func (s *server) describe(signal ledger.Signal) *grpc.ServiceDesc {
	export := func(_ any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var body mem.Buffer
		if err := read(&body); err != nil {
			return nil, err
		}
		defer body.Free()
		if err := s.take(ctx, signal, body.ReadOnlyData(), protobuf); err != nil {
			return nil, status.Error(code(err), err.Error())
		}
		return nothing, nil
	}
	return &grpc.ServiceDesc{
		ServiceName: services[signal],
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: export}},
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

// oversize counts requests that the transport refuses before anyone reads them.
type oversize struct{ book *ledger.Ledger }

type methodKey struct{}

func (oversize) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName)
}

func (o oversize) HandleRPC(ctx context.Context, event stats.RPCStats) {
	end, ok := event.(*stats.End)
	if !ok || status.Code(end.Error) != codes.ResourceExhausted {
		return
	}
	for _, signal := range ledger.Signals {
		if ctx.Value(methodKey{}) == "/"+services[signal]+"/Export" {
			o.book.Of(signal).RefuseRequest(ledger.TooBig)
		}
	}
}

func (oversize) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (oversize) HandleConn(context.Context, stats.ConnStats) {}
