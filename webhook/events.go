package webhook

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"github.com/nova/novawire/internal/validate"
	"github.com/nova/novawire/webhook/inject"
)

// EventRecorder records Events with client-go, which queues, aggregates and sends
// them in the background and drops them if it cannot send them.
type EventRecorder struct {
	Recorder events.EventRecorder
}

// Warn records an Event of type Warning on the owner of a pod.
func (e EventRecorder) Warn(namespace string, owner ObjectReference, reason inject.Reason, message string) {
	e.Recorder.Eventf(&corev1.ObjectReference{
		APIVersion: owner.APIVersion,
		Kind:       owner.Kind,
		Namespace:  namespace,
		Name:       owner.Name,
		UID:        types.UID(owner.UID),
	}, nil, corev1.EventTypeWarning, reason.Event(), "Wire", "%s", validate.EventNote(message))
}
