package webhook

import (
	"strings"
	"testing"

	"k8s.io/client-go/tools/events"

	"github.com/nova/novawire/webhook/inject"
)

// The API server refuses an Event whose note is longer than 1,024 bytes. A note can quote
// the value of an annotation, which may have any length.
func TestEventRecorder_LongMessage(t *testing.T) {
	recorder := events.NewFakeRecorder(1)
	EventRecorder{recorder}.Warn("nova", ObjectReference{Kind: "ReplicaSet", Name: "feed"}, inject.BadAnnotation, strings.Repeat("é", 2000))
	note := strings.TrimPrefix(<-recorder.Events, "Warning "+inject.BadAnnotation.Event()+" ")
	if len(note) > 1024 || !strings.HasPrefix(note, "é") || !strings.HasSuffix(note, "…") {
		t.Errorf("the note has %d bytes: %s", len(note), note)
	}
}
