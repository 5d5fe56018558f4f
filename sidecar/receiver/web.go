package receiver

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/sidecar/ledger"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// stillAfter is when a sender that stands still in a request is given up.
const stillAfter = 15 * time.Second

func (s *server) newWeb() *http.Server {
	routes := http.NewServeMux()
	for _, signal := range ledger.Signals {
		routes.HandleFunc("POST /v1/"+signal.String(), func(w http.ResponseWriter, r *http.Request) { s.post(w, r, signal) })
	}
	return &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: prefaceTimeout,
		ReadTimeout:       time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// post answers as OTLP/HTTP asks (OTLP specification, "OTLP/HTTP Response").
func (s *server) post(w http.ResponseWriter, r *http.Request, signal ledger.Signal) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	e := protobuf
	switch kind {
	case typeProtobuf:
	case typeJSON:
		e = jsonText
	default:
		s.book.Of(signal).RefuseRequest(ledger.Malformed)
		refuse(w, typeJSON, http.StatusUnsupportedMediaType, codes.InvalidArgument, "content type must be "+typeProtobuf+" or "+typeJSON)
		return
	}
	release, err := s.turn(r.Context())
	if err != nil {
		return // the sender is gone
	}
	defer release()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(stillAfter))
	body, err := s.read(r)
	if err != nil {
		s.refuseBody(w, signal, kind, err)
		return
	}
	if err := s.take(r.Context(), signal, body, e); err != nil {
		refuse(w, kind, httpStatus(code(err)), code(err), err.Error())
		return
	}
	w.Header().Set("Content-Type", kind)
	if e == jsonText {
		_, _ = io.WriteString(w, "{}")
	}
}

var (
	errTooBig   = errors.New("the request is too big")
	errEncoding = errors.New("content encoding must be gzip or none")
)

// read returns the whole body, uncompressed.
func (s *server) read(r *http.Request) ([]byte, error) {
	var from io.Reader = r.Body
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		if r.ContentLength > int64(s.config.MaxRequestBytes) {
			return nil, errTooBig
		}
		if r.ContentLength > 0 {
			body := make([]byte, r.ContentLength)
			_, err := io.ReadFull(from, body)
			return body, err
		}
	case "gzip":
		unzip, err := gzip.NewReader(from)
		if err != nil {
			return nil, err
		}
		from = unzip
	default:
		return nil, errEncoding
	}
	body, err := io.ReadAll(io.LimitReader(from, int64(s.config.MaxRequestBytes)+1))
	if err == nil && len(body) > s.config.MaxRequestBytes {
		err = errTooBig
	}
	return body, err
}

func (s *server) refuseBody(w http.ResponseWriter, signal ledger.Signal, kind string, err error) {
	why, answer := ledger.Malformed, http.StatusBadRequest
	switch {
	case errors.Is(err, errTooBig):
		why, answer = ledger.TooBig, http.StatusRequestEntityTooLarge
	case errors.Is(err, errEncoding):
		answer = http.StatusUnsupportedMediaType
	}
	s.book.Of(signal).RefuseRequest(why)
	refuse(w, kind, answer, codes.InvalidArgument, err.Error())
}

func httpStatus(c codes.Code) int {
	switch c {
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

// refuse answers with a Status message, in the encoding of the request.
func refuse(w http.ResponseWriter, kind string, answer int, c codes.Code, why string) {
	w.Header().Set("Content-Type", kind)
	if answer == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(answer)
	if kind == typeJSON {
		_ = json.NewEncoder(w).Encode(map[string]any{"code": c, "message": why})
		return
	}
	body, _ := proto.Marshal(&spb.Status{Code: int32(c), Message: why})
	_, _ = w.Write(body)
}
