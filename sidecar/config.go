package sidecar

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"

	"github.com/nova/novawire/api/attribute"
	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/aws"
	"github.com/nova/novawire/internal/redact"
	otlpexporter "github.com/nova/novawire/sidecar/exporter"
	"github.com/nova/novawire/sidecar/processor/resource"
	"github.com/nova/novawire/sidecar/processor/spanmetrics"
	otlpreceiver "github.com/nova/novawire/sidecar/receiver"
	"github.com/nova/novawire/sidecar/telemetry"
	"github.com/nova/novawire/sidecar/wire"
)

// AWS takes at most 200 KB of one item (CloudWatch documentation, "OTLP endpoints").
// Its limits of 5 MB and 10,000 items of a request are above those of a batch.
const (
	awsItemBytes = 200_000
	batchItems   = 8192
)

// Config is the collector's configuration: that of its components.
type Config struct {
	Receiver      otlpreceiver.Config `yaml:"receiver"`
	MemoryLimiter MemoryLimiter       `yaml:"memory_limiter"`
	Resource      resource.Config     `yaml:"resource"`
	SpanMetrics   spanmetrics.Config  `yaml:"span_metrics"`
	Exporter      otlpexporter.Config `yaml:"exporter"`
	Telemetry     telemetry.Config    `yaml:"telemetry"`
}

// MemoryLimiter is the part of the memory limiter's configuration that depends on the
// container.
type MemoryLimiter struct {
	CheckInterval time.Duration `yaml:"check_interval"`
	LimitMiB      uint32        `yaml:"limit_mib"`
	SpikeLimitMiB uint32        `yaml:"spike_limit_mib"`
}

func (m MemoryLimiter) config() *memorylimiterprocessor.Config {
	config, ok := memorylimiterprocessor.NewFactory().CreateDefaultConfig().(*memorylimiterprocessor.Config)
	if !ok {
		config = new(memorylimiterprocessor.Config)
	}
	config.CheckInterval, config.MemoryLimitMiB, config.MemorySpikeLimitMiB = m.CheckInterval, m.LimitMiB, m.SpikeLimitMiB
	return config
}

// newConfig returns the configuration for the settings, sized for the container's
// memory. fips asks for AWS's endpoints with validated cryptography.
func newConfig(s sidecarapi.Settings, problems int, m memory, fips bool) Config {
	queue := min(s.QueueSize, m.limit/16)
	batch := wire.Limits{Bytes: int(min(s.BatchSize, queue/2)), Items: batchItems}
	if s.Backend == sidecarapi.BackendXRay && s.Usable() {
		batch.ItemBytes = awsItemBytes
	}
	metrics, origin := spanMetrics(s), keysOf(s.Resource) // before they are redacted
	s.Resource = redactedAttributes(s)
	attributes := resource.Config{Attributes: resourceAttributes(s.Resource)}
	receiving := receiverConfig(s, m, batch, attributes.Growth())
	receiving.Origin = origin
	if metrics.Enabled {
		receiving.Foreign = metrics.Foreign
	}
	return Config{
		Receiver:      receiving,
		MemoryLimiter: MemoryLimiter{CheckInterval: time.Second, LimitMiB: uint32(m.hard()), SpikeLimitMiB: uint32(m.spike())}, //nolint:gosec // MiB of a container
		Resource:      attributes,
		SpanMetrics:   metrics,
		Exporter: otlpexporter.Config{
			Protocol: string(s.Protocol), Targets: targets(s, fips), Headers: secretHeaders(s.Headers), Compression: s.Compression,
			TLS:     otlpexporter.TLS{CAFile: s.CAFile, CertFile: s.CertFile, KeyFile: s.KeyFile},
			Timeout: s.Timeout, RetryLimit: s.RetryLimit, FlushInterval: s.FlushInterval, DrainTimeout: s.DrainTimeout,
			QueueBytes: queue, StorageDir: s.StorageDir, Batch: batch,
		},
		Telemetry: telemetry.Config{Listen: s.MetricsListen, Backend: s.Backend, Problems: problems},
	}
}

// spanProcessors returns the names of the processors of spans that are on.
func (c Config) spanProcessors() (names []string) {
	if c.SpanMetrics.Enabled {
		names = append(names, spanmetrics.Type.String())
	}
	return names
}

func spanMetrics(s sidecarapi.Settings) spanmetrics.Config {
	config := spanmetrics.Config{Enabled: s.SpanMetrics, SeriesLimit: s.SpanMetricsSeries}
	for _, a := range s.Resource {
		switch a.Key {
		case "k8s.pod.uid":
			config.PodUID = a.Value
		case "k8s.pod.name":
			config.PodName = a.Value
		}
	}
	return config
}

// receiverConfig divides the memory: a third for the largest request, a thirty-second for
// the bodies of all others, a quarter for what is decoded of JSON. A piece leaves room for
// the attributes that its resources are given, so that each item that is accepted fits a
// batch.
func receiverConfig(s sidecarapi.Settings, m memory, batch wire.Limits, growth int) otlpreceiver.Config {
	piece := batch
	piece.Growth = min(growth, batch.Bytes/2)
	return otlpreceiver.Config{
		Listen:          s.Listen,
		MaxRequestBytes: int(min(s.MaxRequestSize, m.limit/3)),
		HeldBytes:       m.limit / 32,
		Concurrency:     int(max(1, m.limit/(64<<20))),
		Piece:           piece,
		JSONMemory:      int(m.limit / 4),
		Redact:          redact.New(s.Redact, s.RedactKey),
		MessageTimeout:  15 * time.Second,
		StopTimeout:     time.Second,
	}
}

// awsServices are the signing names, by signal.
var awsServices = map[string]string{"traces": "xray", "metrics": "monitoring", "logs": "logs"}

// targets returns where each signal goes. A signal without a target has no backend.
func targets(s sidecarapi.Settings, fips bool) map[string]otlpexporter.Target {
	targets := map[string]otlpexporter.Target{}
	if !s.Usable() {
		return targets
	}
	for signal, service := range awsServices {
		if !takes(s, signal) {
			continue
		}
		target := otlpexporter.Target{}
		base := aws.Endpoint(service, s.Region, fips)
		if s.Endpoint != nil {
			base = strings.TrimRight(s.Endpoint.String(), "/")
		}
		if s.Protocol == sidecarapi.ProtocolHTTP {
			base += "/v1/" + signal
		}
		target.URL = otlpexporter.URL(base)
		if s.Backend == sidecarapi.BackendXRay {
			target.Sign = &otlpexporter.Signing{Region: s.Region, Service: service}
			if signal == "logs" {
				target.Headers = map[string]string{"x-aws-log-group": s.LogGroup, "x-aws-log-stream": s.LogStream}
			}
		}
		targets[signal] = target
	}
	return targets
}

// takes reports whether the backend takes the signal.
func takes(s sidecarapi.Settings, signal string) bool {
	switch s.Backend {
	case sidecarapi.BackendJaeger:
		return signal == "traces"
	case sidecarapi.BackendXRay:
		return signal != "logs" || s.LogGroup != ""
	}
	return true
}

func secretHeaders(headers []attribute.KeyValue) map[string]otlpexporter.Secret {
	secrets := make(map[string]otlpexporter.Secret, len(headers))
	for _, h := range headers {
		secrets[h.Key] = otlpexporter.Secret(h.Value)
	}
	return secrets
}

func keysOf(attributes []attribute.KeyValue) []string {
	keys := make([]string, len(attributes))
	for i, a := range attributes {
		keys[i] = a.Key
	}
	return keys
}

// resourceAttributes leaves out attributes whose key the kubelet did not replace.
func resourceAttributes(attributes []attribute.KeyValue) []resource.Attribute {
	list := make([]resource.Attribute, 0, len(attributes))
	for _, a := range attributes {
		if a.Key != "" {
			list = append(list, resource.Attribute{Key: a.Key, Value: a.Value})
		}
	}
	return list
}
