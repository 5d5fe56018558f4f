package injection

import (
	"slices"

	"github.com/nova/novawire/api"
	"github.com/nova/novawire/api/redaction"
)

const quantities = "a Kubernetes quantity"

// Keys lists the labels and annotations in the order of the documentation.
func Keys() []api.Key { return slices.Clone(keys) }

var keys = []api.Key{
	{Name: LabelWiring, On: api.OnNamespace, Label: true, Default: "–", Allowed: "`enabled`", Meaning: "opts the namespace in"},
	{Name: AnnotationStatus, On: api.OnNamespace, Default: "–", Allowed: "JSON", Meaning: "configuration hash, and how many pods have drifted (component `namespace-status`)", Written: true},
	{Name: AnnotationRepair, On: api.OnNamespace, Default: "from config", Allowed: "`none`, `evict`, `restart`", Meaning: "how pods of the namespace are replaced that have drifted (component `repair`)"},

	{Name: LabelWiring, On: api.OnPod, Label: true, Default: "–", Allowed: "`disabled`", Meaning: "the pod is not wired"},
	{Name: AnnotationCollector, On: api.OnPod, Default: "`sidecar`", Allowed: "`sidecar`, `gateway`, `none`", Meaning: "destination of telemetry: a collector in the pod, a shared collector, or none"},
	{Name: AnnotationProtocol, On: api.OnPod, Default: "`grpc`", Allowed: "`grpc`, `http/protobuf`", Meaning: "OTLP transport; endpoint and protocol are always set together"},
	{Name: AnnotationServiceName, On: api.OnPod, Default: "workload name", Allowed: "1 to 255 printable characters", Meaning: "`OTEL_SERVICE_NAME`"},
	{Name: AnnotationResourceAttributes, On: api.OnPod, Default: "–", Allowed: "`key=value,key=value`, percent-encoded", Meaning: "merged into `OTEL_RESOURCE_ATTRIBUTES`"},
	{Name: AnnotationTraceSampling, On: api.OnPod, Default: "`1`", Allowed: "a ratio from `0` to `1`", Meaning: "share of new traces that are kept: `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`"},
	{Name: AnnotationContainers, On: api.OnPod, Default: "all app containers", Allowed: "a comma list of container names", Meaning: "the containers that get variables, even if they have an `envFrom`"},
	{Name: AnnotationLogs, On: api.OnPod, Default: "`structured`", Allowed: "`structured`, `none`", Meaning: "whether the pod is labelled `logging=structured`"},
	{Name: AnnotationMetrics, On: api.OnPod, Default: "`true`", Allowed: "`true`, `false`", Meaning: "whether the pod gets scrape annotations and the `nova.dev/metrics` label"},
	{Name: AnnotationMetricsPort, On: api.OnPod, Default: "found by port name", Allowed: "a declared port's name, or 1 to 65535", Meaning: "`prometheus.io/port`; by default a TCP port named `metrics`, `http-metrics` or `prometheus`, else the only TCP port if it is named `http` or `http-*`"},
	{Name: AnnotationMetricsPath, On: api.OnPod, Default: "`/metrics`", Allowed: "an absolute path", Meaning: "`prometheus.io/path`"},
	{Name: AnnotationMetricsScheme, On: api.OnPod, Default: "`http`", Allowed: "`http`, `https`", Meaning: "`prometheus.io/scheme`"},
	{Name: AnnotationMetricsEndpoint, On: api.OnPod, Default: "–", Allowed: "`http://:9090/metrics`", Meaning: "the app's own endpoint, if `prometheus.io/*` point to a sidecar of somebody else", Written: true},
	{Name: AnnotationSpanMetrics, On: api.OnPod, Default: "`false`", Allowed: "`true`, `false`", Meaning: "whether the sidecar exposes requests, errors and durations from spans, and the P0 indicators"},
	{Name: AnnotationSidecarCPURequest, On: api.OnPod, Default: "from config", Allowed: quantities, Meaning: "CPU request of the sidecar"},
	{Name: AnnotationSidecarCPULimit, On: api.OnPod, Default: "from config", Allowed: quantities + ", at least `10m`", Meaning: "CPU limit of the sidecar"},
	{Name: AnnotationSidecarMemoryRequest, On: api.OnPod, Default: "from config", Allowed: quantities, Meaning: "memory request of the sidecar"},
	{Name: AnnotationSidecarMemoryLimit, On: api.OnPod, Default: "from config", Allowed: quantities + ", at least `32Mi`", Meaning: "memory limit of the sidecar"},
	{Name: AnnotationRedact, On: api.OnPod, Default: "–", Allowed: redaction.Form, Meaning: "what the sidecar redacts, beside the rules of the platform and of the namespace ([redaction.md](redaction.md))"},
	{Name: AnnotationStatus, On: api.OnPod, Default: "–", Allowed: "JSON", Meaning: "version, configuration hash, what was done, what was skipped and why", Written: true},

	{Name: AnnotationServiceMonitor, On: api.OnService, Default: "`true`", Allowed: "`true`, `false`", Meaning: "whether a Service that selects wired pods gets a ServiceMonitor, if the manager creates them (`--service-monitors`)"},

	{Name: AnnotationRepair, On: api.OnWorkload, Default: "that of the Namespace", Allowed: "`none`, `evict`, `restart`", Meaning: "how its pods are replaced that have drifted (component `repair`)"},
	{Name: AnnotationRepairStatus, On: api.OnWorkload, Default: "–", Allowed: "JSON", Meaning: "a repair that runs, or one that was undone: the workload is left alone while it is there", Written: true},
}
