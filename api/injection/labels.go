// Package injection is the contract of pod injection: the labels and annotations of
// Namespaces and pods, their defaults and their validation. It reads annotations
// and returns a [Request]; it knows no pod.
package injection

// Labels.
const (
	// LabelWiring opts a namespace in ([WiringEnabled]) and a pod out
	// ([WiringDisabled]). The API server evaluates both, as the webhook's
	// namespaceSelector and objectSelector.
	LabelWiring = "nova.dev/wiring"
	// LabelLogging marks the pods whose logs Fluent Bit tails.
	LabelLogging = "logging"
	// LabelMetrics marks the pods that Prometheus scrapes.
	LabelMetrics = "nova.dev/metrics"
)

// Values of the labels.
const (
	WiringEnabled     = "enabled"
	WiringDisabled    = "disabled"
	LoggingStructured = "structured"
	MetricsScraped    = "true"
)

// AnnotationMetricsEndpoint is written by the webhook if prometheus.io/* point to a
// sidecar of somebody else: the endpoint of the app's own metrics, without a host.
const AnnotationMetricsEndpoint = "nova.dev/metrics-endpoint"

// AnnotationPrefix is the prefix of the annotations that pods and Namespaces carry.
const AnnotationPrefix = "inject.nova.dev/"

// OpenTelemetryPrefix is the prefix of the annotations by which the OpenTelemetry
// semantic conventions set a pod's resource attributes.
const OpenTelemetryPrefix = "resource.opentelemetry.io/"

// The sources of a [Layer] that a [Policy] limits.
const (
	SourceNamespace = "namespace"
	SourcePod       = "pod" // the pod's own annotations
)

// Annotations of a pod; on a Namespace they are the default of its pods.
const (
	AnnotationCollector            = AnnotationPrefix + "collector"
	AnnotationProtocol             = AnnotationPrefix + "protocol"
	AnnotationServiceName          = AnnotationPrefix + "service-name"
	AnnotationResourceAttributes   = AnnotationPrefix + "resource-attributes"
	AnnotationTraceSampling        = AnnotationPrefix + "trace-sampling"
	AnnotationContainers           = AnnotationPrefix + "containers"
	AnnotationLogs                 = AnnotationPrefix + "logs"
	AnnotationMetrics              = AnnotationPrefix + "metrics"
	AnnotationMetricsPort          = AnnotationPrefix + "metrics-port"
	AnnotationMetricsPath          = AnnotationPrefix + "metrics-path"
	AnnotationMetricsScheme        = AnnotationPrefix + "metrics-scheme"
	AnnotationSpanMetrics          = AnnotationPrefix + "span-metrics"
	AnnotationSidecarCPURequest    = AnnotationPrefix + "sidecar-cpu-request"
	AnnotationSidecarCPULimit      = AnnotationPrefix + "sidecar-cpu-limit"
	AnnotationSidecarMemoryRequest = AnnotationPrefix + "sidecar-memory-request"
	AnnotationSidecarMemoryLimit   = AnnotationPrefix + "sidecar-memory-limit"
	AnnotationRedact               = AnnotationPrefix + "redact"
	// AnnotationStatus is written by the webhook, never read as a request.
	AnnotationStatus = AnnotationPrefix + "status"
)

// AnnotationServiceMonitor on a Service with the value "false" keeps the manager from creating
// a ServiceMonitor for it.
const AnnotationServiceMonitor = AnnotationPrefix + "service-monitor"

// AnnotationRepair on a Namespace or a workload chooses how its pods are replaced that are not
// wired as they would be now. Package api/repair holds its values.
const AnnotationRepair = AnnotationPrefix + "repair"

// AnnotationRepairStatus is written on a workload by the controller that repairs.
const AnnotationRepairStatus = AnnotationPrefix + "repair-status"

// Annotations that Prometheus reads by convention.
const (
	AnnotationPrometheusScrape = "prometheus.io/scrape"
	AnnotationPrometheusPort   = "prometheus.io/port"
	AnnotationPrometheusPath   = "prometheus.io/path"
	AnnotationPrometheusScheme = "prometheus.io/scheme"
)
