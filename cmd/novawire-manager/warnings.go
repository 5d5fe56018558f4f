package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/nova/novawire/internal/validate"
)

// deploymentWarnings records Events of type Warning about the manager's Deployment. It works
// before a manager runs, and where none can.
type deploymentWarnings struct {
	cluster   *rest.Config
	namespace string
}

// warn logs a warning and records it as an Event.
func (d deploymentWarnings) warn(ctx context.Context, reason, message string) {
	slog.Warn(message, "reason", reason)
	d.record(ctx, reason, message)
}

// record records an Event. One that is the same, of a program that starts again and again, has
// the same name and is recorded once while it is kept. That it fails is of no consequence.
func (d deploymentWarnings) record(ctx context.Context, reason, message string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	clients, err := kubernetes.NewForConfig(d.cluster)
	if err != nil {
		slog.Debug("no Event", "reason", reason, "error", err)
		return
	}
	sum := sha256.Sum256([]byte(reason + message))
	event := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: d.namespace, Name: defaultService + "." + hex.EncodeToString(sum[:8])},
		EventTime:           metav1.NowMicro(),
		ReportingController: "novawire-manager", ReportingInstance: "novawire-manager",
		Action: "Run", Reason: reason, Type: corev1.EventTypeWarning, Note: validate.EventNote(message),
		Regarding: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: d.namespace, Name: defaultService},
	}
	if _, err := clients.EventsV1().Events(d.namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		slog.Debug("no Event", "reason", reason, "error", err)
	}
}
