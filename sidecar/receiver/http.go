package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/sidecar/ledger"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

var errContentType = errors.New("the content type must be " + typeProtobuf + " or " + typeJSON)

// serveHTTP answers as OTLP/HTTP says (OTLP specification, "OTLP/HTTP").
func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request, signal ledger.Signal) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "the method must be POST", http.StatusMethodNotAllowed)
		return
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	e := protobuf
	switch kind {
	case typeProtobuf:
	case typeJSON:
		e = jsonText
	default:
		kind = typeJSON
		s.refuseHTTP(w, r, signal, kind, errContentType)
		return
	}
	hold, ctx, done := s.begin(w, r)
	defer done()
	body, err := s.readBody(ctx, hold, r.Body, r.ContentLength, r.Header.Get("Content-Encoding")) //nolint:contextcheck // begin derives it from the request's
	if err != nil {
		s.refuseHTTP(w, r, signal, kind, readError(err))
		return
	}
	p, err := s.take(r.Context(), signal, body, e)
	if err != nil {
		s.refuseHTTP(w, r, signal, kind, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(p.response(signal, e)) //nolint:gosec // OTLP, not HTML
}

// begin gives a request the message timeout to arrive, and a share of the budget. done
// ends both.
func (s *server) begin(w http.ResponseWriter, r *http.Request) (hold *share, ctx context.Context, done func()) {
	extend := func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.config.MessageTimeout)) }
	extend()
	ctx, cancel := context.WithTimeout(r.Context(), busyTimeout)
	hold = &share{budget: s.budget, waited: extend}
	return hold, ctx, func() { hold.release(); cancel() }
}

// busyTimeout is how long a request may wait for its share of the budget.
const busyTimeout = time.Minute

// readError distinguishes a sender that was too slow from one that sent an invalid body.
func readError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// A sender that is refused may still be sending: what comes is read for a while, so
// that it reads the answer before it sees the connection closed.
const (
	drainBytes = 64 << 20
	drainTime  = 5 * time.Second
)

// refuseHTTP answers with a Status message, in the encoding of the request.
func (s *server) refuseHTTP(w http.ResponseWriter, r *http.Request, signal ledger.Signal, kind string, err error) {
	if why, ok := refusalOf(err); ok {
		s.stats.Counters(signal).RefuseRequest(why)
	}
	answer := httpStatus(err)
	if r.ProtoMajor == 1 && (answer == http.StatusRequestEntityTooLarge || answer == http.StatusUnsupportedMediaType) {
		w.Header().Set("Connection", "close")
		if r.Header.Get("Expect") == "" { // such a sender has not begun
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
			_, _ = io.CopyN(io.Discard, r.Body, drainBytes)
		}
	}
	w.Header().Set("Content-Type", kind)
	if answer == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(answer)
	if kind == typeJSON {
		_ = json.NewEncoder(w).Encode(map[string]any{"code": grpcCode(err), "message": err.Error()})
		return
	}
	body, _ := proto.Marshal(&spb.Status{Code: int32(grpcCode(err)), Message: err.Error()}) //nolint:gosec // sixteen codes
	_, _ = w.Write(body)
}

func httpStatus(err error) int {
	switch {
	case errors.Is(err, errTooBig):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errEncoding), errors.Is(err, errContentType):
		return http.StatusUnsupportedMediaType
	case errors.Is(err, errMalformed), errors.Is(err, errBody):
		return http.StatusBadRequest
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusRequestTimeout
	case consumererror.IsPermanent(err):
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

// grpcCode returns the code, which says whether the sender may try again (OTLP specification, "Failures").
func grpcCode(err error) codes.Code {
	switch {
	case errors.Is(err, errTooBig):
		return codes.ResourceExhausted
	case errors.Is(err, errEncoding):
		return codes.Unimplemented
	case errors.Is(err, errFlag): // gRPC over HTTP2, "Compression"
		return codes.Internal
	case errors.Is(err, errMalformed), errors.Is(err, errContentType), errors.Is(err, errBody):
		return codes.InvalidArgument
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case consumererror.IsPermanent(err):
		return codes.Internal
	}
	return codes.Unavailable
}

// rejectedNames are the JSON names of the counts of a partial success, by signal.
var rejectedNames = [...]string{ledger.Traces: "rejectedSpans", ledger.Metrics: "rejectedDataPoints", ledger.Logs: "rejectedLogRecords"}

// response encodes an Export…ServiceResponse: empty, or with a partial success.
func (p partial) response(signal ledger.Signal, e encoding) []byte {
	switch {
	case e == jsonText && p.rejected == 0:
		return []byte("{}")
	case e == jsonText:
		return fmt.Appendf(nil, `{"partialSuccess":{%q:%q,"errorMessage":%s}}`, rejectedNames[signal], strconv.Itoa(p.rejected), mustJSON(p.reason))
	case p.rejected == 0:
		return nil
	}
	var success []byte // the messages of all signals have the same numbers
	success = protowire.AppendVarint(protowire.AppendTag(success, 1, protowire.VarintType), uint64(p.rejected))
	success = protowire.AppendString(protowire.AppendTag(success, 2, protowire.BytesType), p.reason)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), success)
}

func mustJSON(s string) []byte {
	text, _ := json.Marshal(s) // a string
	return text
}
