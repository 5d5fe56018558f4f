package inject

import (
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/nova/novawire/api/injection"
)

// Status is the content of the status annotation. It shows people what was done.
// It also shows the engine, when it sees the pod again, which values the user had
// set: everything that is not listed as kept was written by the engine.
type Status struct {
	// Version is the version of the program that wired the pod; "" for a build without one.
	Version string `json:"version,omitempty"`
	// Config is the hash of the configuration that the pod was wired with.
	Config string `json:"config"`
	// By is "policy" for a pod that the MutatingAdmissionPolicy decided about, "" for the webhook.
	By string `json:"by,omitempty"`
	// Collector is where the telemetry goes.
	Collector injection.Collector `json:"collector"`
	// Ports are the sidecar's ports for gRPC, HTTP and metrics, if they are not the
	// default ones.
	Ports []int `json:"ports,omitempty"`
	// Containers are the containers that got variables.
	Containers []ContainerStatus `json:"containers,omitempty"`
	// Kept are the labels and annotations that the user had set.
	Kept []string `json:"kept,omitempty"`
	// Notes are what was skipped and why: the reason, the container and the subject.
	Notes []string `json:"notes,omitempty"`
	// Unsupported is what kept the policy from wiring the pod. There is no Config then.
	Unsupported []string `json:"unsupported,omitempty"`
}

// ContainerStatus records one container.
type ContainerStatus struct {
	Name string `json:"name"`
	// Kept are the variables that the user had set.
	Kept []string `json:"kept,omitempty"`
	// Attributes are the keys in OTEL_RESOURCE_ATTRIBUTES that the user had set.
	Attributes []string `json:"attributes,omitempty"`
}

// ReadStatus reads the status annotation and reports whether there is a valid one.
func ReadStatus(annotations map[string]string) (Status, bool) {
	s, ok := readStatus(annotations)
	if !ok || s.Config == "" {
		return Status{}, false
	}
	return s, true
}

// readStatus is like [ReadStatus] and also reads the annotation of a pod that the policy left alone.
func readStatus(annotations map[string]string) (Status, bool) {
	text := annotations[injection.AnnotationStatus]
	if text == "" {
		return Status{}, false
	}
	var s Status
	if err := json.Unmarshal([]byte(text), &s, lenient); err != nil {
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
