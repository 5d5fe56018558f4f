package inject

import "strings"

// Action is what was done with a pod.
type Action string

// The actions.
const (
	Wired     Action = "wired"     // wired for the first time
	Rewired   Action = "rewired"   // wired again, after the configuration changed
	Completed Action = "completed" // a container was added after the pod was wired
	Unchanged Action = "unchanged" // the wiring is up to date
	Skipped   Action = "skipped"   // not wired, for the decision's reason
)

// Reason is why something was or was not done. The constant is the metric label,
// the log attribute and the entry in the status annotation; [Reason.Event] is the
// same word in the form of an Event's reason.
type Reason string

// Reasons for wiring or skipping a pod.
const (
	AsAsked     Reason = "as-asked"
	Degraded    Reason = "degraded" // wired, with the exceptions in the notes
	OptedOut    Reason = "opted-out"
	HostNetwork Reason = "host-network"
	Windows     Reason = "windows"
	MirrorPod   Reason = "mirror-pod"
)

// Reasons of notes about a wired pod.
const (
	BadAnnotation      Reason = "bad-annotation"
	NotAllowed         Reason = "annotation-not-allowed"
	Misplaced          Reason = "misplaced-annotation"
	NameClash          Reason = "service-name-clash"
	BadRedaction       Reason = "bad-redaction"
	NoRedaction        Reason = "no-redaction"
	BadAttribute       Reason = "bad-attribute"
	HiddenVariables    Reason = "hidden-variables"
	HiddenAttributes   Reason = "hidden-attributes"
	SignalEndpoint     Reason = "signal-endpoint"
	HiddenProtocol     Reason = "hidden-protocol"
	OverriddenName     Reason = "overridden-name"
	ForeignCollector   Reason = "foreign-collector"
	PortTaken          Reason = "port-taken"
	PortFixed          Reason = "port-fixed"
	NoGateway          Reason = "no-gateway"
	GatewayInstead     Reason = "gateway-instead"
	JobWithoutSidecar  Reason = "job-without-native-sidecar"
	ForeignSidecar     Reason = "foreign-sidecar"
	UnknownContainer   Reason = "unknown-container"
	UserLabel          Reason = "user-label"
	UserScrape         Reason = "user-scrape"
	MergedMetrics      Reason = "merged-metrics"
	SidecarScrape      Reason = "sidecar-scrape"
	NoMetricsPort      Reason = "no-metrics-port"
	UnknownMetricsPort Reason = "unknown-metrics-port"
	PodResources       Reason = "pod-resources"
	Guaranteed         Reason = "guaranteed"
	UserCollector      Reason = "user-collector"
	Resized            Reason = "resized"

	RefusedByLimitRange Reason = "limit-range"
	RefusedByQuota      Reason = "resource-quota"
)

// Level is how important a reason is. It decides where users see the reason.
type Level int

// The levels.
const (
	Info    Level = iota // in the status annotation and in explanations
	Warning              // also as a warning at kubectl apply
	Act                  // also as an Event
)

// reasons has the text and the level of each reason.
var reasons = map[Reason]struct {
	text  string
	level Level
}{
	AsAsked:     {"wired as asked", Info},
	Degraded:    {"wired, with exceptions", Info},
	OptedOut:    {"the pod is labelled nova.dev/wiring: disabled", Info},
	HostNetwork: {"the pod uses the host network, where a sidecar would occupy ports of the node, and no gateway is configured", Act},
	Windows:     {"the pod runs on Windows", Info},
	MirrorPod:   {"the pod is a mirror pod, which cannot be changed", Info},

	BadAnnotation:      {"ignored", Act},
	NotAllowed:         {"ignored", Act},
	Misplaced:          {"has no effect on the workload itself: move it to the metadata of the pod template", Warning},
	NameClash:          {"has the same service name: the telemetry of the two cannot be distinguished", Warning},
	BadRedaction:       {"not as written", Act},
	NoRedaction:        {"has no effect on traces and metrics: they do not pass a sidecar", Act},
	BadAttribute:       {"left out", Act},
	HiddenVariables:    {"no variables set: envFrom can define OTEL_ variables, and env would override them; to set ours anyway, list the container in inject.nova.dev/containers", Warning},
	HiddenAttributes:   {"kept: the value comes from a reference, so no attributes can be added", Act},
	SignalEndpoint:     {"no endpoint and protocol set: the container sets the endpoint of a single signal without its protocol", Info},
	HiddenProtocol:     {"no endpoint set: the gateway has no endpoint for the protocol that the container sets, or the protocol comes from a reference", Act},
	OverriddenName:     {"replaced by the pod's annotation inject.nova.dev/service-name", Info},
	ForeignCollector:   {"no sidecar and no endpoint: the pod has its own collector", Info},
	PortTaken:          {"the sidecar uses another port: the container listens on this one", Info},
	PortFixed:          {"no sidecar and no endpoint: the pod listens on a port of the sidecar, and the configuration fixes the sidecar's ports", Act},
	NoGateway:          {"the sidecar is used: no gateway is configured", Act},
	GatewayInstead:     {"the gateway is used: on the host network a sidecar would occupy ports of the node", Info},
	JobWithoutSidecar:  {"no sidecar and no endpoint: before Kubernetes 1.29 a sidecar keeps a Job from completing", Act},
	ForeignSidecar:     {"no variables set: the container is not part of the app", Info},
	UnknownContainer:   {"no container has this name", Act},
	UserLabel:          {"kept: the user set it", Info},
	UserScrape:         {"not scraped: the user set prometheus.io/scrape", Info},
	MergedMetrics:      {"serves the app's metrics with its own: Istio's scrape annotations stay", Info},
	SidecarScrape:      {"kept: it is the port of a sidecar; nova.dev/metrics-endpoint has the app's", Info},
	NoMetricsPort:      {"not scraped: no TCP port is named metrics, http-metrics or prometheus, and the pod's only TCP port is not named http or http-*", Info},
	UnknownMetricsPort: {"not scraped: no container declares a port with this name", Act},
	PodResources:       {"no requests and limits set: the pod has pod-level resources", Info},
	Guaranteed:         {"requests equal limits, so that the pod keeps the QoS class Guaranteed", Info},
	UserCollector:      {"kept: the pod already has a container with the name of the sidecar", Info},

	Resized: {"requests and limits changed, so that the LimitRange of the namespace admits the pod", Info},

	RefusedByLimitRange: {"no sidecar: the LimitRange of the namespace would refuse the pod", Act},
	RefusedByQuota:      {"no sidecar: the ResourceQuota of the namespace has no room for it", Act},

	LeftByPolicy:       {"needs more than the MutatingAdmissionPolicy can do, and was left alone (docs/policy.md)", Info},
	NotReviewed:        {"created before its namespace opted in, or while the webhook did not answer", Act},
	OlderConfiguration: {"wired with another configuration", Info},
	OlderSidecarImage:  {"wired with another image of the sidecar", Info},
	StatusRemoved:      {"wired, but its annotation inject.nova.dev/status was removed", Act},
	ChangedAfterwards:  {"something changed the pod after it was wired, and parts of the wiring are missing", Act},
}

// Text returns the reason as a sentence.
func (r Reason) Text() string { return reasons[r].text }

// Level returns the level of the reason.
func (r Reason) Level() Level { return reasons[r].level }

// Event returns the reason in the form of an Event's reason: UpperCamelCase.
func (r Reason) Event() string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(r), "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// Note is one thing that was decided, and for which part of the pod.
type Note struct {
	Reason    Reason
	Container string // "" for the whole pod
	Subject   string // the variable, label, annotation or port; "" for none
	Detail    string // specific to this pod; "" for none
}

// String returns the note as one line of text.
func (n Note) String() string {
	parts := make([]string, 0, 4)
	if n.Container != "" {
		parts = append(parts, "container "+n.Container)
	}
	for _, part := range []string{n.Subject, n.Reason.Text(), n.Detail} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Decision is what was decided about one pod.
type Decision struct {
	Action Action
	Reason Reason // of the action
	Notes  []Note
}

// Line is one line of an explanation: a value of the wired pod, the rule that set it
// and where it comes from.
type Line struct {
	Container string // "" for the whole pod
	Subject   string
	Value     string
	Rule      string
	Source    string
}
