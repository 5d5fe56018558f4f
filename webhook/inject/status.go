package inject

import (
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/api/injection"
)

// Status is what the status annotation records of a wired pod. It tells people
// what was done, and it tells the engine, when the pod comes again, what was the
// user's own: everything that is not listed as kept belongs to the wiring.
type Status struct {
	// Config is the hash of the configuration that the pod was wired with.
	Config string `json:"config"`
	// Collector is where the telemetry goes.
	Collector injection.Collector `json:"collector"`
	// Containers are those that got environment.
	Containers []ContainerStatus `json:"containers,omitempty"`
	// Kept are the labels and annotations that the user had set.
	Kept []string `json:"kept,omitempty"`
	// Notes are what was skipped, and why: reason, and where.
	Notes []string `json:"notes,omitempty"`
}

// ContainerStatus records one container.
type ContainerStatus struct {
	Name string `json:"name"`
	// Kept are the variables that the user had set.
	Kept []string `json:"kept,omitempty"`
	// Attributes are the keys in OTEL_RESOURCE_ATTRIBUTES that are the user's.
	Attributes []string `json:"attributes,omitempty"`
}

// ReadStatus reads a status annotation. A pod without one, or with one that is
// not ours, has none.
func ReadStatus(annotations map[string]string) (Status, bool) {
	text := annotations[injection.AnnotationStatus]
	if text == "" {
		return Status{}, false
	}
	var s Status
	if err := json.Unmarshal([]byte(text), &s, lenient); err != nil || s.Config == "" {
		return Status{}, false
	}
	return s, true
}

func (s *Status) container(name string) (ContainerStatus, bool) {
	i := slices.IndexFunc(s.Containers, func(c ContainerStatus) bool { return c.Name == name })
	if i < 0 {
		return ContainerStatus{}, false
	}
	return s.Containers[i], true
}

func (s *Status) note(n Note) {
	text := string(n.Reason)
	for _, where := range []string{n.Container, n.Subject} {
		if where != "" {
			text += " " + where
		}
	}
	s.Notes = append(s.Notes, text)
}
