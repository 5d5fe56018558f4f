package receiver

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/nova/novawire/sidecar/ledger"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// Errors of requests that are not OTLP's.
var (
	errContentType = errors.New("the content type must be " + typeProtobuf + " or " + typeJSON)
	errMethod      = errors.New("the method must be POST")
	errPath        = errors.New("unknown path: OTLP has /v1/traces, /v1/metrics and /v1/logs")
)

// serveHTTP answers as OTLP/HTTP says (OTLP specification, "OTLP/HTTP").
func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request, signal ledger.Signal) {
	kind, e, err := contentType(r)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answerFailure(w, kind, errMethod)
		return
	}
	if err != nil {
		s.refuseHTTP(w, r, signal, kind, err)
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

// contentType returns the type and the encoding of the request and of its answer. A
// sender of another type gets JSON, which people can read.
func contentType(r *http.Request) (kind string, e encoding, err error) {
	switch kind, _, _ = mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case typeProtobuf:
		return kind, protobuf, nil
	case typeJSON:
		return kind, jsonText, nil
	}
	return typeJSON, jsonText, errContentType
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

// refuseHTTP counts a request that is not taken, and answers it.
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
	answerFailure(w, kind, err)
}
