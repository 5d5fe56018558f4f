package novawire

import "slices"

const quantities = "a Kubernetes quantity"

// InjectionKeys lists the labels and annotations in the order of the documentation.
func InjectionKeys() []Key { return slices.Clone(injectionKeys) }

var injectionKeys = []Key{
	{Name: LabelWiring, On: OnNamespace, Label: true, Default: "–", Allowed: "`enabled`", Meaning: "opts the namespace in"},

	{Name: LabelWiring, On: OnPod, Label: true, Default: "–", Allowed: "`disabled`", Meaning: "this pod is left alone"},
	{Name: AnnotationCollector, On: OnPod, Default: "`sidecar`", Allowed: "`sidecar`, `gateway`, `none`", Meaning: "where telemetry goes: a collector in the pod, a shared one, or nowhere"},
	{Name: AnnotationProtocol, On: OnPod, Default: "`grpc`", Allowed: "`grpc`, `http/protobuf`", Meaning: "OTLP transport; endpoint and protocol are always set together"},
	{Name: AnnotationServiceName, On: OnPod, Default: "workload name", Allowed: "1 to 255 printable characters", Meaning: "`OTEL_SERVICE_NAME`"},
	{Name: AnnotationResourceAttributes, On: OnPod, Default: "–", Allowed: "`key=value,key=value`, percent-encoded", Meaning: "merged into `OTEL_RESOURCE_ATTRIBUTES`"},
	{Name: AnnotationTraceSampling, On: OnPod, Default: "`1`", Allowed: "a ratio from `0` to `1`", Meaning: "share of new traces that is kept: `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`"},
	{Name: AnnotationContainers, On: OnPod, Default: "all app containers", Allowed: "a comma list of container names", Meaning: "the containers that get environment, even where `envFrom` hides what they set"},
	{Name: AnnotationLogs, On: OnPod, Default: "`structured`", Allowed: "`structured`, `none`", Meaning: "whether the pod is labelled `logging=structured`"},
	{Name: AnnotationMetrics, On: OnPod, Default: "`true`", Allowed: "`true`, `false`", Meaning: "whether the pod gets scrape annotations and the `nova.dev/metrics` label"},
	{Name: AnnotationMetricsPort, On: OnPod, Default: "found by port name", Allowed: "a declared port's name, or 1 to 65535", Meaning: "`prometheus.io/port`"},
	{Name: AnnotationMetricsPath, On: OnPod, Default: "`/metrics`", Allowed: "an absolute path", Meaning: "`prometheus.io/path`"},
	{Name: AnnotationMetricsScheme, On: OnPod, Default: "`http`", Allowed: "`http`, `https`", Meaning: "`prometheus.io/scheme`"},
	{Name: AnnotationSidecarCPURequest, On: OnPod, Default: "from config", Allowed: quantities, Meaning: "CPU request of the sidecar"},
	{Name: AnnotationSidecarCPULimit, On: OnPod, Default: "from config", Allowed: quantities + ", at least `10m`", Meaning: "CPU limit of the sidecar"},
	{Name: AnnotationSidecarMemoryRequest, On: OnPod, Default: "from config", Allowed: quantities, Meaning: "memory request of the sidecar"},
	{Name: AnnotationSidecarMemoryLimit, On: OnPod, Default: "from config", Allowed: quantities + ", at least `32Mi`", Meaning: "memory limit of the sidecar"},
	{Name: AnnotationStatus, On: OnPod, Default: "–", Allowed: "JSON", Meaning: "version, configuration hash, what was done, what was skipped and why", Written: true},
}
