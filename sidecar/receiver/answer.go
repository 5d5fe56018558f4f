package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nova/novawire/sidecar/ledger"
)

// answerFailure writes a Status message in one of OTLP's encodings (OTLP specification,
// "OTLP/HTTP Response", "Failures").
func answerFailure(w http.ResponseWriter, kind string, err error) {
	answer := httpStatus(err)
	w.Header().Set("Content-Type", kind)
	if answer == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(answer)
	encode := statusInProtobuf
	if kind == typeJSON {
		encode = statusInJSON
	}
	_, _ = w.Write(encode(err, answer == http.StatusBadRequest))
}

// violation says which field is bad: the sidecar knows no more than that it is in the
// body.
const violation = "body"

// statusInProtobuf encodes a Status. Bad data has a BadRequest in its details (OTLP
// specification, "Bad Data").
func statusInProtobuf(err error, badData bool) []byte {
	s := &spb.Status{Code: int32(grpcCode(err)), Message: err.Error()} //nolint:gosec // sixteen codes
	if badData {
		detail, _ := anypb.New(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: violation, Description: err.Error()}}})
		s.Details = append(s.Details, detail)
	}
	body, _ := proto.Marshal(s) // a message of ours
	return body
}

// statusInJSON is the same in protobuf's JSON, without its library.
func statusInJSON(err error, badData bool) []byte {
	type object = map[string]any
	s := object{"code": grpcCode(err), "message": err.Error()}
	if badData {
		s["details"] = []object{{
			"@type":           "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []object{{"field": violation, "description": err.Error()}},
		}}
	}
	return mustJSON(s)
}

func httpStatus(err error) int {
	switch {
	case errors.Is(err, errTooBig):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errEncoding), errors.Is(err, errContentType), errors.Is(err, errGRPCType):
		return http.StatusUnsupportedMediaType
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(err, errPath):
		return http.StatusNotFound
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
	case errors.Is(err, errEncoding), errors.Is(err, errMethod), errors.Is(err, errPath), errors.Is(err, errNoMethod):
		return codes.Unimplemented
	case errors.Is(err, errFlag): // gRPC over HTTP2, "Compression"
		return codes.Internal
	case errors.Is(err, errMalformed), errors.Is(err, errContentType), errors.Is(err, errGRPCType), errors.Is(err, errBody):
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

func mustJSON(v any) []byte {
	text, _ := json.Marshal(v) // texts and numbers
	return text
}
