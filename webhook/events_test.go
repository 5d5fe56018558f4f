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
	got := <-recorder.Events
	if note := got[strings.Index(got, "é"):]; len(note) > 1024 || !strings.HasSuffix(note, "…") {
		t.Errorf("the note has %d bytes and ends in %q", len(note), note[len(note)-3:])
	}
}
