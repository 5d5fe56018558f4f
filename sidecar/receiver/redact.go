package receiver

import (
	"github.com/nova/novawire/internal/redact"
	"github.com/nova/novawire/sidecar/ledger"
	"github.com/nova/novawire/sidecar/wire"
)

// ready is a request that may leave the pod.
type ready struct {
	wire.Request
	redacted *redact.Counts // nil if nothing was
}

// redactor returns a redactor for one request, or nil if nothing is redacted.
func (s *server) redactor() *wire.Redactor {
	if s.config.Redact == nil {
		return nil
	}
	if r, ok := s.redactors.Get().(*wire.Redactor); ok {
		return r
	}
	return wire.NewRedactor(s.config.Redact, s.config.Origin...)
}

func (s *server) release(r *wire.Redactor) {
	if r != nil {
		r.Release()
		s.redactors.Put(r)
	}
}

// prepare returns the request without what the rules redact and with valid text. It
// reports false if the request has grown beyond the limits: what stands in the place of
// short values is longer.
func (s *server) prepare(r *wire.Redactor, signal ledger.Signal, body []byte, items int, sum wire.Summary, limits wire.Limits) (ready, bool) {
	request := ready{Request: wire.Request{Body: body, Items: items}}
	if signal == ledger.Traces && s.config.Foreign != nil {
		request.Foreign = s.config.Foreign(body)
	}
	if r != nil {
		redacted, counts, ok := r.RedactWithin(signal, body, limits.Bytes)
		if !ok {
			return ready{}, false
		}
		if counts != (redact.Counts{}) {
			request.Body, request.redacted = redacted, &counts
		}
		if len(redacted) > len(body) {
			grown, err := wire.Scan(signal, redacted)
			if err != nil || !limits.Allow(len(redacted), grown) {
				return ready{}, false
			}
		}
	}
	request.Body = repaired(signal, request.Body, sum)
	return request, true
}
