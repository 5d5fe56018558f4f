package sidecar

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nova/novawire/api/attribute"
	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/validate"
)

// Variables that shape the sidecar; [Variables] says what each accepts.
const (
	EnvBackend         = "NOVAWIRE_BACKEND"
	EnvEndpoint        = "NOVAWIRE_ENDPOINT"
	EnvProtocol        = "NOVAWIRE_PROTOCOL"
	EnvHeaders         = "NOVAWIRE_HEADERS"
	EnvCompression     = "NOVAWIRE_COMPRESSION"
	EnvCAFile          = "NOVAWIRE_CA_FILE"
	EnvCertFile        = "NOVAWIRE_CERT_FILE"
	EnvKeyFile         = "NOVAWIRE_KEY_FILE"
	EnvAWSRegion       = "NOVAWIRE_AWS_REGION"
	EnvLogGroup        = "NOVAWIRE_LOG_GROUP"
	EnvLogStream       = "NOVAWIRE_LOG_STREAM"
	EnvTimeout         = "NOVAWIRE_TIMEOUT"
	EnvRetryLimit      = "NOVAWIRE_RETRY_LIMIT"
	EnvFlushInterval   = "NOVAWIRE_FLUSH_INTERVAL"
	EnvDrainTimeout    = "NOVAWIRE_DRAIN_TIMEOUT"
	EnvQueueSize       = "NOVAWIRE_QUEUE_SIZE"
	EnvBatchSize       = "NOVAWIRE_BATCH_SIZE"
	EnvMaxRequestSize  = "NOVAWIRE_MAX_REQUEST_SIZE"
	EnvStorageDir      = "NOVAWIRE_STORAGE_DIR"
	EnvSpanMetrics     = "NOVAWIRE_SPAN_METRICS"
	EnvSpanSeries      = "NOVAWIRE_SPAN_METRICS_SERIES"
	EnvListen          = "NOVAWIRE_LISTEN"
	EnvMetricsListen   = "NOVAWIRE_METRICS_LISTEN"
	EnvTerminationFile = "NOVAWIRE_TERMINATION_FILE"
	EnvRedact          = "NOVAWIRE_REDACT"
	EnvRedactKey       = "NOVAWIRE_REDACT_KEY"
)

// Values of [EnvBackend]: who receives what the sidecar exports.
const (
	BackendGateway = "gateway" // a shared collector: traces, metrics and logs
	BackendJaeger  = "jaeger"  // Jaeger's OTLP port: traces alone
	BackendXRay    = "xray"    // AWS: X-Ray, CloudWatch metrics and CloudWatch Logs, by OTLP and SigV4
)

// Values of [EnvCompression].
const (
	CompressionGzip = "gzip"
	CompressionNone = "none"
)

// Settings is what the variables of the sidecar say, defaults filled in.
type Settings struct {
	Backend     string
	Endpoint    *url.URL // nil: nowhere to send, unless Backend is xray
	Protocol    Protocol
	Headers     []attribute.KeyValue // secret: never printed
	Compression string

	CAFile, CertFile, KeyFile string // TLS to an https endpoint

	Region              string // of AWS
	LogGroup, LogStream string // of CloudWatch Logs; empty: logs have no backend

	Timeout       time.Duration // of one export request
	RetryLimit    time.Duration // how long a batch is tried
	FlushInterval time.Duration // how long a batch is gathered
	DrainTimeout  time.Duration // from SIGTERM to the ledger

	QueueSize      int64  // bytes that wait for the backend, per signal
	BatchSize      int64  // bytes of one request to the backend
	MaxRequestSize int64  // bytes of one request from the application
	StorageDir     string // empty: the queue is in memory alone

	Resource []attribute.KeyValue // to insert where absent

	Redact    redaction.Rules
	RedactKey string // of hashes; secret: never printed

	SpanMetrics       bool // expose metrics of the requests that spans stand for
	SpanMetricsSeries int  // how many series of them may have labels of their own

	Listen          []string // addresses that take OTLP, each by gRPC and HTTP
	MetricsListen   string
	TerminationFile string
}

// Usable reports whether the settings name a backend. Where they do not, the
// sidecar accepts telemetry and counts it as dropped, and the pod runs on.
func (s Settings) Usable() bool {
	return s.Endpoint != nil || s.Backend == BackendXRay && s.Region != ""
}

// ParseSettings reads the variables through lookup, which answers as os.LookupEnv
// does. The settings are always fit to run with: a bad value is reported, and its
// default holds.
func ParseSettings(lookup func(name string) (string, bool)) (Settings, []validate.Refusal) {
	s, refusals := parseSettings(lookup)
	return s, append(refusals, s.missingBackend()...)
}

func parseSettings(lookup func(name string) (string, bool)) (Settings, []validate.Refusal) {
	var (
		s        Settings
		refusals []validate.Refusal
	)
	for _, v := range variables {
		if v.value != "" {
			v.set(&s, v.value) // a default is valid: a test parses them all
		}
		value, ok := lookup(v.Name)
		if !ok || value == "" {
			continue // the OpenTelemetry specification: empty is unset
		}
		if !v.set(&s, value) {
			refusals = append(refusals, v.refusal(value))
		}
	}
	if s.Region == "" {
		s.Region = firstRegion(lookup)
	}
	return s, append(refusals, s.reconcile(lookup)...)
}

// firstRegion returns the region that AWS's own variables name; the webhooks of EKS
// set them.
func firstRegion(lookup func(string) (string, bool)) string {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if value, _ := lookup(name); validate.Region(value) {
			return value
		}
	}
	return ""
}

// reconcile resolves the contradictions between variables, and reports them.
func (s *Settings) reconcile(lookup func(string) (string, bool)) (refusals []validate.Refusal) {
	report := func(name, problem string) {
		refusals = append(refusals, validate.Refusal{Setting: name, Problem: problem, Ignored: true})
	}
	text, _ := lookup(EnvRedact)
	for _, mistake := range redaction.Mistakes(text, text) {
		report(EnvRedact, mistake)
	}
	if s.Redact.Hashes() && s.RedactKey == "" {
		report(EnvRedactKey, "is not set; rules that hash mask instead")
	}
	if s.Backend == BackendXRay {
		if asked, _ := lookup(EnvProtocol); asked == string(ProtocolGRPC) {
			report(EnvProtocol, "AWS does not accept grpc; http/protobuf is used")
		}
		s.Protocol = ProtocolHTTP
	}
	if s.Endpoint != nil {
		for _, own := range []string{"/v1/traces", "/v1/metrics", "/v1/logs"} {
			s.Endpoint.Path = strings.TrimSuffix(strings.TrimRight(s.Endpoint.Path, "/"), own)
		}
		if s.Protocol == ProtocolGRPC && strings.Trim(s.Endpoint.Path, "/") != "" {
			report(EnvEndpoint, "grpc does not use the path of the URL; it is ignored")
			s.Endpoint.Path = ""
		}
		s.Endpoint.Host = withPort(s.Endpoint, s.Protocol)
	}
	if (s.CertFile == "") != (s.KeyFile == "") {
		report(EnvCertFile, "is used only together with "+EnvKeyFile+"; neither is used")
		s.CertFile, s.KeyFile = "", ""
	}
	if s.Endpoint != nil && s.Endpoint.Scheme == "http" && s.CAFile+s.CertFile != "" {
		report(EnvEndpoint, "the TLS files have no effect on an http URL; use https")
	}
	if (s.LogGroup == "") != (s.LogStream == "") {
		report(EnvLogGroup, "is used only together with "+EnvLogStream+"; logs are counted as dropped")
		s.LogGroup, s.LogStream = "", ""
	}
	if s.Backend == BackendXRay && s.Region == "" {
		s.Endpoint = nil
	}
	return refusals
}

// missingBackend reports that the settings name no backend.
func (s Settings) missingBackend() []validate.Refusal {
	switch {
	case s.Usable():
		return nil
	case s.Backend == BackendXRay:
		return []validate.Refusal{{Setting: EnvAWSRegion, Problem: "the backend xray needs a region; until it has one, telemetry is accepted and counted as dropped", Ignored: true}}
	default:
		return []validate.Refusal{{Setting: EnvEndpoint, Problem: "there is no valid endpoint; until there is one, telemetry is accepted and counted as dropped", Ignored: true}}
	}
}

// withPort returns the host with a port: its own, or the one that scheme and protocol
// imply.
func withPort(u *url.URL, protocol Protocol) string {
	port := PortOTLPGRPC
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		port = 443
	case protocol == ProtocolHTTP:
		port = PortOTLPHTTP
	}
	return net.JoinHostPort(u.Hostname(), strconv.Itoa(port))
}
