// Package novawire is the contract of the product: the labels and annotations
// its users write, the rules for their values, and what two of its programs
// must agree on. It holds no clock, no client and no I/O, and it imports
// nothing but the standard library, so every other package can import it.
package novawire

// Domain is the suffix of every label and annotation key of the product.
const Domain = "nova.dev"

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

// Prefixes of the annotation keys: one for what pods ask of injection, one for
// what StatefulSets ask of backup.
const (
	InjectPrefix = "inject.nova.dev/"
	BackupPrefix = "backup.nova.dev/"
)

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

// Annotations of a PostgreSQL StatefulSet.
const (
	AnnotationBackupEnabled              = BackupPrefix + "enabled"
	AnnotationBackupSchedule             = BackupPrefix + "schedule"
	AnnotationBackupTimeZone             = BackupPrefix + "time-zone"
	AnnotationBackupBucket               = BackupPrefix + "bucket"
	AnnotationBackupRetentionDays        = BackupPrefix + "retention-days"
	AnnotationBackupKeepMinimum          = BackupPrefix + "keep-minimum"
	AnnotationBackupDatabases            = BackupPrefix + "databases"
	AnnotationBackupURLSecret            = BackupPrefix + "url-secret"
	AnnotationBackupAWSSecret            = BackupPrefix + "aws-secret"
	AnnotationBackupServiceAccount       = BackupPrefix + "service-account"
	AnnotationBackupAWSRegion            = BackupPrefix + "aws-region"
	AnnotationBackupS3Endpoint           = BackupPrefix + "s3-endpoint"
	AnnotationBackupParallelism          = BackupPrefix + "parallelism"
	AnnotationBackupDeadline             = BackupPrefix + "deadline"
	AnnotationBackupEncryptionRecipients = BackupPrefix + "encryption-recipients"
	AnnotationBackupDrillSchedule        = BackupPrefix + "drill-schedule"
	AnnotationBackupSuspend              = BackupPrefix + "suspend"
	AnnotationBackupOnDelete             = BackupPrefix + "on-delete"
	AnnotationBackupClientImage          = BackupPrefix + "client-image"
	AnnotationBackupEncryptionIdentity   = BackupPrefix + "encryption-identity"
	AnnotationBackupRun                  = BackupPrefix + "run"
	// AnnotationBackupStatus is written by the controller, never read as a request.
	AnnotationBackupStatus = BackupPrefix + "status"
)

// Annotations that Prometheus reads by convention.
const (
	AnnotationPrometheusScrape = "prometheus.io/scrape"
	AnnotationPrometheusPort   = "prometheus.io/port"
	AnnotationPrometheusPath   = "prometheus.io/path"
	AnnotationPrometheusScheme = "prometheus.io/scheme"
)

// The collector sidecar, as pods, monitors and the sidecar itself know it.
const (
	// CollectorContainer is the sidecar's container name.
	CollectorContainer = "novawire-collector"
	// CollectorMetricsPortName is the port that the PodMonitor scrapes; 15
	// characters is what Kubernetes allows (RFC 6335 service name).
	CollectorMetricsPortName = "otelcol-metrics"
	// CollectorMetricsPort serves the sidecar's own metrics on the pod's address.
	CollectorMetricsPort = 18888
	// PortOTLPGRPC and PortOTLPHTTP are OTLP's registered ports, on loopback.
	PortOTLPGRPC = 4317
	PortOTLPHTTP = 4318
)

// Variables that carry the pod's identity from the downward API, in every wired
// container and in the sidecar. Attributes refer to them as $(NAME).
const (
	EnvPodName  = "NOVAWIRE_POD_NAME"
	EnvPodUID   = "NOVAWIRE_POD_UID"
	EnvNodeName = "NOVAWIRE_NODE_NAME"
)

// EnvResourceAttributes tells the sidecar which resource attributes to add to
// telemetry that lacks them, in the form of [ParseAttributes]. A service.name
// that begins with "unknown_service", the SDKs' placeholder, counts as lacking.
const EnvResourceAttributes = "NOVAWIRE_RESOURCE_ATTRIBUTES"
