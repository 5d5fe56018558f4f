package injection

import (
	"encoding/json"
	"slices"
)

// PodState is how a pod in a namespace that opted in compares with what a review would do
// with it now. It is a label of metrics, the reason of Events and a word of the command line.
type PodState string

// The states.
const (
	PodWired   PodState = "wired"   // as a review would leave it
	PodMissing PodState = "missing" // not wired, although nothing speaks against it
	PodStale   PodState = "stale"   // wired with an older configuration, or an older sidecar image
	PodChanged PodState = "changed" // wired, and changed by something else afterwards
	PodSkipped PodState = "skipped" // not wired, for a reason that a review would give again
)

// PodStates lists the states in the order in which people read them.
func PodStates() []PodState {
	return []PodState{PodWired, PodMissing, PodStale, PodChanged, PodSkipped}
}

// Drifted reports whether a pod in this state would be different if it were created now.
func (s PodState) Drifted() bool { return s == PodMissing || s == PodStale || s == PodChanged }

// excludedNamespaces are never reviewed, whatever their labels. The webhook's
// namespaceSelector has the same list.
var excludedNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "novawire-system"}

// ExcludedNamespaces returns the namespaces of which no pod is reviewed, whatever their labels.
func ExcludedNamespaces() []string { return slices.Clone(excludedNamespaces) }

// IsExcluded reports whether no pod of a namespace is reviewed, whatever its labels: it runs
// the cluster, or Novawire where it is usually installed.
func IsExcluded(namespace string) bool { return slices.Contains(excludedNamespaces, namespace) }

// OptedIn reports whether the API server sends the pods of a namespace to the webhook.
func OptedIn(namespace string, labels map[string]string) bool {
	return labels[LabelWiring] == WiringEnabled && !IsExcluded(namespace)
}

// NamespaceStatus is the content of [AnnotationStatus] on a Namespace: how many of its pods
// have drifted. Pods that are as they should be are not counted here, so that it does not
// change when a workload scales.
type NamespaceStatus struct {
	// Config is the hash of the configuration that the pods were compared with.
	Config  string `json:"config"`
	Missing int    `json:"missing,omitempty"`
	Stale   int    `json:"stale,omitempty"`
	Changed int    `json:"changed,omitempty"`
}

// ReadNamespaceStatus reads the annotation and reports whether there is a valid one.
func ReadNamespaceStatus(annotations map[string]string) (s NamespaceStatus, ok bool) {
	err := json.Unmarshal([]byte(annotations[AnnotationStatus]), &s)
	return s, err == nil && s.Config != ""
}

// String returns the value of the annotation.
func (s NamespaceStatus) String() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("a struct of a string and numbers is always JSON: " + err.Error())
	}
	return string(text)
}
