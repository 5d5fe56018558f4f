package webhook

import (
	"context"
	"log/slog"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/webhook/inject"
)

// levelOf returns the level at which an action is logged. Skipped objects are
// logged for whoever searches the reason; pods that needed a repair, because the
// configuration or the pod changed after they were wired, are logged always.
func levelOf(action inject.Action) slog.Level {
	switch action {
	case Failed:
		return slog.LevelError
	case inject.Rewired, inject.Completed, Refused:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

func (h *handler) logDecision(ctx context.Context, req *request, a answer) {
	level := levelOf(a.action)
	if !slog.Default().Enabled(ctx, level) {
		return
	}
	attributes := append(h.attributes(req), slog.String("action", string(a.action)), slog.String("reason", string(a.reason)))
	if a.refusal != "" {
		attributes = append(attributes, slog.String("message", a.refusal))
	}
	slog.LogAttrs(ctx, level, "admission decided", attributes...)
}

func (h *handler) logFailure(ctx context.Context, req *request, reason inject.Reason, err error) {
	slog.LogAttrs(ctx, slog.LevelError, "admission failed: the object is admitted unchanged",
		append(h.attributes(req), slog.String("reason", string(reason)), slog.Any("error", err))...)
}

func (h *handler) logUnreadable(ctx context.Context, err error) {
	slog.LogAttrs(ctx, slog.LevelError, "admission failed: the review is unreadable and failurePolicy decides",
		slog.String("webhook", h.name), slog.String("reason", string(UnreadableReview)), slog.Any("error", err))
}

// attributes identify the object of a review. A pod has no name at admission if it
// has a generateName; its owner then shows where it comes from. The UID of the
// review is the one in the API server's logs.
func (h *handler) attributes(req *request) []slog.Attr {
	var object struct {
		Metadata struct {
			Name         string            `json:"name"`
			GenerateName string            `json:"generateName"`
			UID          string            `json:"uid"`
			Owners       []ObjectReference `json:"ownerReferences"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(req.Object, &object) // an unreadable object is logged without its metadata
	attributes := []slog.Attr{slog.String("webhook", h.name), slog.String("review", req.UID), slog.String("kind", req.Kind.Kind), slog.String("namespace", req.Namespace)}
	for _, a := range []struct{ key, value string }{
		{"name", object.Metadata.Name}, {"generateName", object.Metadata.GenerateName}, {"uid", object.Metadata.UID},
	} {
		if a.value != "" {
			attributes = append(attributes, slog.String(a.key, a.value))
		}
	}
	for _, o := range object.Metadata.Owners {
		if o.Controller {
			attributes = append(attributes, slog.String("owner", o.Kind+"/"+o.Name), slog.String("ownerUID", o.UID))
		}
	}
	return attributes
}
