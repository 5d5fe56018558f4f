// Package sidecar is the contract of the collector sidecar: its container, its
// ports, and the environment variables that shape it with their validation. The
// webhook checks a sidecar's settings with the code that the sidecar itself runs.
package sidecar

// The collector sidecar, as pods, monitors and the sidecar itself know it.
const (
	// ContainerName is the sidecar's container name.
	ContainerName = "novawire-collector"
	// MetricsPortName is the port that the PodMonitor scrapes; 15
	// characters is what Kubernetes allows (RFC 6335 service name).
	MetricsPortName = "otelcol-metrics"
	// MetricsPort serves the sidecar's own metrics on the pod's address.
	MetricsPort = 18888
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

// EnvResourceAttributes names the resource attributes that the sidecar adds to
// telemetry that lacks them, in the form of attribute.Parse. A service.name
// that begins with "unknown_service", the SDKs' placeholder, counts as lacking.
const EnvResourceAttributes = "NOVAWIRE_RESOURCE_ATTRIBUTES"

// Protocol is an OTLP transport, named as OTEL_EXPORTER_OTLP_PROTOCOL has it.
type Protocol string

// The values of [EnvProtocol], and of the annotation inject.nova.dev/protocol.
const (
	ProtocolGRPC Protocol = "grpc"
	ProtocolHTTP Protocol = "http/protobuf"
)
