package repair

import (
	"encoding/json"
	"time"

	"github.com/nova/novawire/api/injection"
)

// Phase is how far the repair of a workload is.
type Phase string

// The phases. A workload that was repaired has no status.
const (
	Running Phase = "running"
	Undone  Phase = "undone"  // it did not become ready; its pods opted out
	Stopped Phase = "stopped" // its new pods are not wired
)

// Status is the content of [injection.AnnotationRepairStatus] on a workload. A manager that
// starts later continues by it, and leaves a workload alone that did not get better.
type Status struct {
	Phase Phase     `json:"phase"`
	Mode  Mode      `json:"mode"`
	Since time.Time `json:"since"` // by the API server's clock
	// Config is the hash of the configuration that the pods are wired with.
	Config string `json:"config"`
	// Template is a hash of the pod template: after a change by somebody else it is not ours to judge.
	Template string `json:"template,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Failed reports whether the workload is left alone.
func (s Status) Failed() bool { return s.Phase == Undone || s.Phase == Stopped }

// ReadStatus reads the annotation. The zero value means that there is none. One that cannot be
// read counts as stopped: nothing is done to a workload that somebody marked.
func ReadStatus(annotations map[string]string) (s Status) {
	text := annotations[injection.AnnotationRepairStatus]
	if text == "" {
		return Status{}
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Phase != Running && !s.Failed() {
		return Status{Phase: Stopped, Reason: "the annotation cannot be read"}
	}
	return s
}

// String returns the value of the annotation.
func (s Status) String() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("a struct of strings and a time is always JSON: " + err.Error())
	}
	return string(text)
}
