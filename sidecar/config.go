package sidecar

import (
	"maps"
	"strings"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/sidecar/sigv4"
)

// Limits of a request to the backend. AWS takes 5 MB and 10,000 spans, and
// 200 KB of one span (CloudWatch documentation, "OTLP endpoints"); the others
// take gRPC's 4 MiB by default. Ours is below them all.
const (
	requestBytes = 2 << 20
	requestItems = 8192
	awsItemBytes = 200_000

	intakeBytes = 4 << 20 // gRPC's default
)

// configuration is the collector's, shaped by the settings.
func configuration(s sidecarapi.Settings, mistakes int, m memory) map[string]any {
	queue := min(s.QueueSize, m.limit/16)
	extensions := map[string]any{
		"status": map[string]any{"listen": s.MetricsListen, "backend": s.Backend, "mistakes": mistakes},
	}
	outlet := map[string]any{
		"protocol": string(s.Protocol), "headers": attributeMap(s.Headers), "compression": s.Compression,
		"tls":     map[string]any{"ca_file": s.CAFile, "cert_file": s.CertFile, "key_file": s.KeyFile},
		"timeout": s.Timeout.String(), "retry_limit": s.RetryLimit.String(),
		"flush_interval": s.FlushInterval.String(), "drain_timeout": s.DrainTimeout.String(),
		"queue_bytes": queue, "storage_dir": s.StorageDir,
		"targets": targets(s),
		"batch":   map[string]any{"bytes": min(requestBytes, queue/2), "items": requestItems, "item_bytes": 0},
	}
	if s.Backend == sidecarapi.BackendXRay && s.Usable() {
		outlet["batch"].(map[string]any)["item_bytes"] = awsItemBytes
		for _, service := range awsServices {
			extensions["sigv4/"+service] = map[string]any{"region": s.Region, "service": service}
		}
	}
	pipeline := map[string]any{
		"receivers":  []any{"intake"},
		"processors": []any{"account", "memory_limiter", "identity"},
		"exporters":  []any{"outlet"},
	}
	return map[string]any{
		"extensions": extensions,
		"receivers":  map[string]any{"intake": map[string]any{"listen": s.Listen, "max_request_bytes": intakeBytes, "concurrency": max(2, m.limit/(32<<20))}},
		"processors": map[string]any{
			"account":        nil,
			"memory_limiter": map[string]any{"check_interval": "1s", "limit_mib": m.hard(), "spike_limit_mib": m.spike()},
			"identity":       map[string]any{"attributes": attributeList(s.Resource)},
		},
		"exporters": map[string]any{"outlet": outlet},
		"service": map[string]any{
			"extensions": sortedKeys(extensions),
			"pipelines":  map[string]any{"traces": pipeline, "metrics": maps.Clone(pipeline), "logs": maps.Clone(pipeline)},
		},
	}
}

// awsServices are the signing names, by signal.
var awsServices = map[string]string{"traces": "xray", "metrics": "monitoring", "logs": "logs"}

// targets says where each signal goes. One that is missing has no backend.
func targets(s sidecarapi.Settings) map[string]any {
	if !s.Usable() {
		return map[string]any{}
	}
	targets := map[string]any{}
	for signal, service := range awsServices {
		target := map[string]any{}
		base := sigv4.Endpoint(service, s.Region)
		if s.Endpoint != nil {
			base = strings.TrimRight(s.Endpoint.String(), "/")
		}
		if s.Protocol == sidecarapi.ProtocolHTTP {
			base += "/v1/" + signal
		}
		target["url"] = base
		if s.Backend == sidecarapi.BackendXRay {
			target["auth"] = "sigv4/" + service
			if signal == "logs" {
				target["headers"] = map[string]any{"x-aws-log-group": s.LogGroup, "x-aws-log-stream": s.LogStream}
			}
		}
		targets[signal] = target
	}
	if s.Backend == sidecarapi.BackendJaeger {
		delete(targets, "metrics")
		delete(targets, "logs")
	}
	if s.Backend == sidecarapi.BackendXRay && s.LogGroup == "" {
		delete(targets, "logs")
	}
	return targets
}
