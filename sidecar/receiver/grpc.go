package receiver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/nova/novawire/sidecar/ledger"
)

// services are OTLP's, by signal.
var services = [...]string{
	ledger.Traces:  "opentelemetry.proto.collector.trace.v1.TraceService",
	ledger.Metrics: "opentelemetry.proto.collector.metrics.v1.MetricsService",
	ledger.Logs:    "opentelemetry.proto.collector.logs.v1.LogsService",
}

const typeGRPC = "application/grpc"

// streamIdle is how long a stream may stay without a message.
const streamIdle = 5 * time.Minute

// serveGRPC answers a unary call (gRPC over HTTP2 protocol): a message is a byte
// that says whether it is compressed, its length in four bytes, and its content.
func (s *server) serveGRPC(w http.ResponseWriter, r *http.Request, signal ledger.Signal) {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), typeGRPC) {
		s.refuseHTTP(w, r, signal, typeJSON, errGRPCType)
		return
	}
	w.Header().Set("Grpc-Accept-Encoding", "gzip,zstd")
	p, err := s.call(w, r, signal)
	if err != nil {
		if why, ok := refusalOf(err); ok {
			s.stats.Counters(signal).RefuseRequest(why)
		}
		writeStatus(w, grpcCode(err), err.Error())
		return
	}
	w.Header().Set("Content-Type", typeGRPC)
	response := p.response(signal, protobuf)
	frame := make([]byte, 5, 5+len(response))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(response))) //nolint:gosec // a few hundred bytes
	_, _ = w.Write(append(frame, response...))                   //nolint:gosec // OTLP, not HTML
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
}

func (s *server) call(w http.ResponseWriter, r *http.Request, signal ledger.Signal) (partial, error) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(streamIdle))
	var prefix [5]byte
	if _, err := io.ReadFull(r.Body, prefix[:]); err != nil {
		return partial{}, readError(fmt.Errorf("%w: %w", errBody, err))
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	if size > int64(s.config.MaxRequestBytes) {
		return partial{}, fmt.Errorf("%w: received message larger than max (%d vs. %d)", errTooBig, size, s.config.MaxRequestBytes)
	}
	encoding := ""
	if prefix[0] == 1 {
		if encoding = r.Header.Get("Grpc-Encoding"); encoding == "" || encoding == "identity" {
			return partial{}, errFlag
		}
	}
	hold, ctx, done := s.begin(w, r)
	defer done()
	message := io.LimitReader(r.Body, size)
	body, err := s.readBody(ctx, hold, message, size, encoding) //nolint:contextcheck // begin derives it from the request's
	if err == nil && encoding == "" && int64(len(body)) < size {
		err = fmt.Errorf("%w: %w", errBody, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return partial{}, readError(err)
	}
	return s.take(r.Context(), signal, body, protobuf)
}

// writeStatus ends a call without a message.
func writeStatus(w http.ResponseWriter, code codes.Code, message string) {
	w.Header().Set("Content-Type", typeGRPC)
	w.Header().Set("Grpc-Status", fmt.Sprint(int(code)))
	w.Header().Set("Grpc-Message", percentEncode(message))
	w.WriteHeader(http.StatusOK)
}

// percentEncode is what gRPC asks of messages: all but printable ASCII is encoded.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

var (
	errFlag     = fmt.Errorf("%w: the message is compressed, and no encoding is named", errMalformed)
	errNoMethod = errors.New("unknown service or method")
	errGRPCType = errors.New("the content type of a gRPC method must be " + typeGRPC)
)

// notFound answers what is not OTLP, in the protocol of the question.
func notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), typeGRPC) {
		writeStatus(w, codes.Unimplemented, errNoMethod.Error()+" "+r.URL.Path)
		return
	}
	kind, _, _ := contentType(r)
	answerFailure(w, kind, errPath)
}
