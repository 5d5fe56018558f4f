package inject

import "strings"

// Action is what was done with a pod.
type Action string

// The actions.
const (
	Wired     Action = "wired"     // for the first time
	Rewired   Action = "rewired"   // its wiring was of another configuration
	Completed Action = "completed" // something was added since it was wired
	Unchanged Action = "unchanged" // its wiring is current
	Skipped   Action = "skipped"   // left alone, for the decision's reason
)

// Reason is why something was done or left undone. The constant is the metric
// label, the log key and the entry in the status; [Reason.Event] is the same
// word as Kubernetes writes it in Events.
type Reason string

// Why a pod was wired, or skipped whole.
const (
	AsAsked     Reason = "as-asked"
	Degraded    Reason = "degraded" // wired, but for what the notes tell
	OptedOut    Reason = "opted-out"
	HostNetwork Reason = "host-network"
	Windows     Reason = "windows"
	MirrorPod   Reason = "mirror-pod"
)

// What a user may want to know of a pod that was wired.
const (
	BadAnnotation      Reason = "bad-annotation"
	Misplaced          Reason = "misplaced-annotation"
	NameClash          Reason = "service-name-clash"
	BadAttribute       Reason = "bad-attribute"
	HiddenVariables    Reason = "hidden-variables"
	HiddenAttributes   Reason = "hidden-attributes"
	SignalEndpoint     Reason = "signal-endpoint"
	HiddenProtocol     Reason = "hidden-protocol"
	OverriddenName     Reason = "overridden-name"
	ForeignCollector   Reason = "foreign-collector"
	PortTaken          Reason = "port-taken"
	NoGateway          Reason = "no-gateway"
	GatewayInstead     Reason = "gateway-instead"
	JobWithoutSidecar  Reason = "job-without-native-sidecar"
	ForeignSidecar     Reason = "foreign-sidecar"
	UnknownContainer   Reason = "unknown-container"
	UserLabel          Reason = "user-label"
	UserScrape         Reason = "user-scrape"
	NoMetricsPort      Reason = "no-metrics-port"
	UnknownMetricsPort Reason = "unknown-metrics-port"
	PodResources       Reason = "pod-resources"
	Guaranteed         Reason = "guaranteed"
	UserCollector      Reason = "user-collector"
)

// Level says how far a reason is told: Info stays in the status and in
// explanations, Warning also comes back at apply, Act becomes an Event too.
type Level int

// The levels.
const (
	Info Level = iota
	Warning
	Act
)

// reasons gives each reason the sentence that people read, and its level.
var reasons = map[Reason]struct {
	text  string
	level Level
}{
	AsAsked:     {"wired as asked", Info},
	Degraded:    {"wired, with exceptions", Info},
	OptedOut:    {"the pod is labelled nova.dev/wiring: disabled", Info},
	HostNetwork: {"the pod is on the host network, where a sidecar would take the node's ports, and no gateway is configured", Act},
	Windows:     {"the pod runs on Windows", Info},
	MirrorPod:   {"a mirror pod cannot be changed", Info},

	BadAnnotation:      {"ignored", Act},
	Misplaced:          {"has no effect here: put it under the pod template's metadata", Warning},
	NameClash:          {"has the same service name: their telemetry cannot be told apart", Warning},
	BadAttribute:       {"left out", Act},
	HiddenVariables:    {"environment left as it is: envFrom may hold OTEL_ variables, which env would override; to set them all the same, name the container in inject.nova.dev/containers", Warning},
	HiddenAttributes:   {"kept: it comes from a reference, so nothing can be merged into it", Act},
	SignalEndpoint:     {"endpoint and protocol left as they are: a signal's own endpoint is set without its protocol", Info},
	HiddenProtocol:     {"endpoint left as it is: the gateway has none for the container's own protocol, or that is hidden in a reference", Act},
	OverriddenName:     {"replaced by the pod's annotation inject.nova.dev/service-name", Info},
	ForeignCollector:   {"no sidecar and no endpoint: the pod has a collector of its own", Info},
	PortTaken:          {"no sidecar and no endpoint: the pod itself listens on a port that the sidecar needs", Act},
	NoGateway:          {"no gateway is configured: the sidecar is used", Act},
	GatewayInstead:     {"the gateway is used: on the host network a sidecar would take the node's ports", Info},
	JobWithoutSidecar:  {"no sidecar and no endpoint: before Kubernetes 1.29 a sidecar would keep the Job from completing", Act},
	ForeignSidecar:     {"environment left as it is: not the app's own container", Info},
	UnknownContainer:   {"no container has this name", Act},
	UserLabel:          {"kept: the user set it", Info},
	UserScrape:         {"scrape annotations kept: the user set prometheus.io/scrape", Info},
	NoMetricsPort:      {"not scraped: no port is named metrics, http-metrics or prometheus, and there is not exactly one TCP port", Info},
	UnknownMetricsPort: {"not scraped: no container declares a port of this name", Act},
	PodResources:       {"the sidecar shares the pod's own resources: it has no requests and limits", Info},
	Guaranteed:         {"the sidecar's requests equal its limits, so that the pod's QoS class stays Guaranteed", Info},
	UserCollector:      {"kept: the pod has a container of the sidecar's name", Info},
}

// Text is the sentence for people.
func (r Reason) Text() string { return reasons[r].text }

// Level is how far the reason is told.
func (r Reason) Level() Level { return reasons[r].level }

// Event is the reason as an Event has it: UpperCamelCase.
func (r Reason) Event() string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(r), "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// Note is one thing that was decided, and where.
type Note struct {
	Reason    Reason
	Container string // "" for the pod
	Subject   string // the variable, label, annotation or port; "" for none
	Detail    string // what Text cannot know; "" for none
}

// String is the note as people read it.
func (n Note) String() string {
	pieces := make([]string, 0, 4)
	if n.Container != "" {
		pieces = append(pieces, "container "+n.Container)
	}
	for _, piece := range []string{n.Subject, n.Reason.Text(), n.Detail} {
		if piece != "" {
			pieces = append(pieces, piece)
		}
	}
	return strings.Join(pieces, ": ")
}

// Decision is what was decided of one pod.
type Decision struct {
	Action Action
	Reason Reason // of the action
	Notes  []Note
}

// Line is one line of an explanation: what the pod has now, by which rule, and
// where the value comes from.
type Line struct {
	Container string // "" for the pod
	Subject   string
	Value     string
	Rule      string
	Source    string
}
