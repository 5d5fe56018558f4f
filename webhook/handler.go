package webhook

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nova/novawire/webhook/inject"
)

// Engines gives the engine of the present configuration.
type Engines interface {
	Engine() *inject.Engine
}

// Failed is the action of a review that could not be decided and was admitted
// as it came.
const Failed inject.Action = "failed"

// Why a review failed.
const (
	UnreadableReview inject.Reason = "unreadable-review"
	UnreadablePod    inject.Reason = "unreadable-pod"
	Panicked         inject.Reason = "panicked"
)

// answer is a response and how it is counted.
type answer struct {
	response
	action inject.Action
	reason inject.Reason
}

// handler serves one path: it reads a review, has it answered, and responds.
type handler struct {
	name   string // the metrics' label
	undone string // what did not happen where answer fails
	// unreadable is why it fails: an object of another shape.
	unreadable inject.Reason
	answer     func(context.Context, *request) (answer, error)
	*Metrics
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	body := bodies.Get().(*bytes.Buffer)
	body.Reset()
	defer bodies.Put(body)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maximumReview)); err != nil {
		h.observe(h.name, Failed, UnreadableReview, start)
		http.Error(w, "read body: "+err.Error(), http.StatusBadRequest)
		return
	}
	req, err := decodeReview(body.Bytes())
	if err != nil {
		// Without a uid there is no answer that the API server would take; its
		// failurePolicy, Ignore, admits the pod.
		h.observe(h.name, Failed, UnreadableReview, start)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := h.failOpen(r.Context(), req)
	body.Reset()
	body.Grow(4096)
	writeReview(w, appendResponse(body.AvailableBuffer(), req.UID, a.response))
	h.observe(h.name, a.action, a.reason, start)
}

// failOpen answers a review, and admits it as it came if that fails.
func (h *handler) failOpen(ctx context.Context, req *request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "admission panicked", "path", h.name, "namespace", req.Namespace, "panic", fmt.Sprint(p))
			a = answer{action: Failed, reason: Panicked}
		}
	}()
	a, err := h.answer(ctx, req)
	if err != nil {
		slog.ErrorContext(ctx, "admission failed", "path", h.name, "namespace", req.Namespace, "error", err)
		return answer{
			response: response{warnings: []string{"novawire: " + h.undone + ": " + err.Error()}},
			action:   Failed, reason: h.unreadable,
		}
	}
	return a
}
