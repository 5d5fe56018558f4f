// Package injection is the contract of pod injection: the labels and annotations of
// Namespaces and pods, their defaults and their validation. It reads annotations
// and returns a [Request]; it knows no pod.
package novawire

// Labels.
const (
	// LabelWiring opts a namespace in ([WiringEnabled]) and a pod out
	// ([WiringDisabled]). The API server evaluates both, as the webhook's
	// namespaceSelector and objectSelector.
	LabelWiring = "nova.dev/wiring"
	// LabelLogging marks the pods whose logs Fluent Bit tails.
	LabelLogging = "logging"
	// LabelMetrics marks the pods that the PodMonitor selects.
	LabelMetrics = "nova.dev/metrics"
)

// Values of the labels.
const (
	WiringEnabled     = "enabled"
	WiringDisabled    = "disabled"
	LoggingStructured = "structured"
	MetricsScraped    = "true"
)

// InjectPrefix is the prefix of the annotations that pods and Namespaces carry.
const InjectPrefix = "inject.nova.dev/"

// Annotations of a pod; on a Namespace they are the default of its pods.
const (
	AnnotationCollector            = InjectPrefix + "collector"
	AnnotationProtocol             = InjectPrefix + "protocol"
	AnnotationServiceName          = InjectPrefix + "service-name"
	AnnotationResourceAttributes   = InjectPrefix + "resource-attributes"
	AnnotationTraceSampling        = InjectPrefix + "trace-sampling"
	AnnotationContainers           = InjectPrefix + "containers"
	AnnotationLogs                 = InjectPrefix + "logs"
	AnnotationMetrics              = InjectPrefix + "metrics"
	AnnotationMetricsPort          = InjectPrefix + "metrics-port"
	AnnotationMetricsPath          = InjectPrefix + "metrics-path"
	AnnotationMetricsScheme        = InjectPrefix + "metrics-scheme"
	AnnotationSidecarCPURequest    = InjectPrefix + "sidecar-cpu-request"
	AnnotationSidecarCPULimit      = InjectPrefix + "sidecar-cpu-limit"
	AnnotationSidecarMemoryRequest = InjectPrefix + "sidecar-memory-request"
	AnnotationSidecarMemoryLimit   = InjectPrefix + "sidecar-memory-limit"
	// AnnotationStatus is written by the webhook, never read as a request.
	AnnotationStatus = InjectPrefix + "status"
)

// Annotations that Prometheus reads by convention.
const (
	AnnotationPrometheusScrape = "prometheus.io/scrape"
	AnnotationPrometheusPort   = "prometheus.io/port"
	AnnotationPrometheusPath   = "prometheus.io/path"
	AnnotationPrometheusScheme = "prometheus.io/scheme"
)
