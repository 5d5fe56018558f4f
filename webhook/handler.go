package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nova/novawire/webhook/inject"
)

// Engines returns the engine of the present configuration.
type Engines interface {
	Engine() *inject.Engine
}

// Failed is the action of a review that could not be decided. The object is admitted
// unchanged.
const Failed inject.Action = "failed"

// Reasons for a failed review.
const (
	UnreadableReview inject.Reason = "unreadable-review"
	UnreadablePod    inject.Reason = "unreadable-pod"
	Panicked         inject.Reason = "panicked"
)

// answer is a response with the action and the reason that are logged and counted.
type answer struct {
	response
	action inject.Action
	reason inject.Reason
}

// handler serves one path: it decodes a review, calls answer and responds.
type handler struct {
	name       string        // the label "webhook" of the metrics
	effect     string        // what it means for the object that answer fails
	unreadable inject.Reason // the reason if answer fails
	answer     func(context.Context, *request) (answer, error)
	metrics    *Metrics
}

var bodies sync.Pool // of *bytes.Buffer

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	body, pooled := bodies.Get().(*bytes.Buffer)
	if !pooled {
		body = new(bytes.Buffer)
	}
	body.Reset()
	defer bodies.Put(body)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxReviewSize)); err != nil {
		h.logUnreadable(r.Context(), err)
		h.metrics.observe(h.name, Failed, UnreadableReview, start)
		http.Error(w, "read body: "+err.Error(), http.StatusBadRequest)
		return
	}
	req, err := decodeReview(body.Bytes())
	if err != nil {
		// Without a UID no valid answer is possible. The failurePolicy, Ignore, admits
		// the object.
		h.logUnreadable(r.Context(), err)
		h.metrics.observe(h.name, Failed, UnreadableReview, start)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := h.failOpen(r.Context(), req)
	body.Reset()
	body.Grow(1024 + base64.StdEncoding.EncodedLen(len(a.patch)))
	writeReview(w, appendResponse(body.AvailableBuffer(), req.UID, a.response))
	h.metrics.observe(h.name, a.action, a.reason, start)
}

// failOpen answers a review. If that fails the object is admitted unchanged.
func (h *handler) failOpen(ctx context.Context, req *request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			h.logFailure(ctx, req, Panicked, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			a = answer{action: Failed, reason: Panicked}
		}
	}()
	a, err := h.answer(ctx, req)
	if err != nil {
		h.logFailure(ctx, req, h.unreadable, err)
		return answer{
			response: response{warnings: []string{"novawire: " + h.effect + ": " + err.Error()}},
			action:   Failed, reason: h.unreadable,
		}
	}
	h.logDecision(ctx, req, a)
	return a
}
