package sidecar

import (
	"fmt"
	"maps"
	"math/big"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nova/novawire/api/attribute"
	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/internal/validate"
)

// Variable describes one variable of the sidecar. docs/sidecar.md is held
// equal to [Variables] by a test.
type Variable struct {
	Name    string
	Default string // as users read it; "–" for none
	Allowed string // the values that are accepted, in a few words
	Meaning string

	// harmless says that even a bad value cannot be a secret, so that messages may
	// repeat it. It holds for choices, durations and sizes. A key, a token or a PEM
	// block may have got into any other variable by mistake.
	harmless bool

	value string                               // of the default
	set   func(s *Settings, value string) bool // false: the value is refused
}

// Variables lists the variables in the order of the documentation.
func Variables() []Variable { return slices.Clone(variables) }

// refusal reports a value of the variable that is ignored: its default holds.
func (v Variable) refusal(value string) validate.Refusal {
	r := validate.Refusal{Setting: v.Name, Value: validate.Hidden, Allowed: v.Allowed, Ignored: true}
	if v.harmless {
		r.Value = validate.Redact(value)
	}
	if v.value != "" {
		r.Instead = v.Default
	}
	return r
}

// UnknownVariables reports the names that have the product's prefix and are not
// variables of the sidecar: most often a misspelt one.
func UnknownVariables(names []string) (refusals []validate.Refusal) {
	for _, name := range names {
		if !strings.HasPrefix(name, "NOVAWIRE_") || isVariable(name) {
			continue
		}
		problem := "the sidecar has no such variable"
		if nearest := nearestVariable(name); nearest != "" {
			problem += "; did you mean " + nearest + "?"
		}
		refusals = append(refusals, validate.Refusal{Setting: name, Problem: problem, Ignored: true})
	}
	return refusals
}

// CheckVariables reports what is wrong with the variables that a sidecar is to be
// given. env holds the visible values. hidden names the variables whose values
// cannot be seen here, such as those from a Secret: what they decide is not reported.
func CheckVariables(env map[string]string, hidden []string) []validate.Refusal {
	s, refusals := parseSettings(func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	decides := slices.ContainsFunc(hidden, func(name string) bool {
		return name == EnvBackend || name == EnvEndpoint || name == EnvAWSRegion
	})
	if !decides {
		refusals = append(refusals, s.missingBackend()...)
	}
	refusals = slices.DeleteFunc(refusals, func(r validate.Refusal) bool { return slices.Contains(hidden, r.Setting) })
	names := append(slices.Sorted(maps.Keys(env)), hidden...)
	return append(refusals, UnknownVariables(names)...)
}

func isVariable(name string) bool {
	return name == EnvPodName || name == EnvPodUID || name == EnvNodeName ||
		slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == name })
}

func nearestVariable(name string) string {
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = v.Name
	}
	return validate.Nearest(name, names)
}

const tlsFile = "an absolute path"

var variables = []Variable{
	{
		Name: EnvBackend, Default: "`gateway`", value: BackendGateway, Allowed: "`gateway`, `jaeger`, `xray`",
		Meaning:  "who receives: a shared collector; Jaeger (traces alone); or AWS X-Ray, CloudWatch metrics and CloudWatch Logs, by OTLP",
		set:      choice(func(s *Settings) *string { return &s.Backend }, BackendGateway, BackendJaeger, BackendXRay),
		harmless: true,
	},
	{
		Name: EnvEndpoint, Default: "–; `xray`: the service endpoints of the region", Allowed: "an `http` or `https` URL without user, query or fragment",
		Meaning: "the backend; without a port, 443 for `https`, else OTLP's. `http/protobuf` appends `/v1/traces`, `/v1/metrics` or `/v1/logs`, in the place of one of these",
		set:     setEndpoint,
	},
	{
		Name: EnvProtocol, Default: "`grpc`; `xray`: `http/protobuf`", value: string(ProtocolGRPC), Allowed: "`grpc`, `http/protobuf`",
		Meaning:  "OTLP transport to the backend",
		set:      choice(func(s *Settings) *Protocol { return &s.Protocol }, ProtocolGRPC, ProtocolHTTP),
		harmless: true,
	},
	{
		Name: EnvHeaders, Default: "–", Allowed: "`name=value,name=value`, percent-encoded",
		Meaning: "request headers to the backend, as from a Secret by `valueFrom`",
		set:     setHeaders,
	},
	{
		Name: EnvCompression, Default: "`gzip`", value: CompressionGzip, Allowed: "`gzip`, `none`",
		Meaning:  "of requests to the backend",
		set:      choice(func(s *Settings) *string { return &s.Compression }, CompressionGzip, CompressionNone),
		harmless: true,
	},
	{
		Name: EnvCAFile, Default: "the system's authorities", Allowed: tlsFile, Meaning: "PEM bundle that the backend's certificate is checked against; a changed file is used from the next request on",
		set: absolutePath(func(s *Settings) *string { return &s.CAFile }),
	},
	{
		Name: EnvCertFile, Default: "–", Allowed: tlsFile, Meaning: "PEM client certificate for mutual TLS; a changed file is used from the next request on",
		set: absolutePath(func(s *Settings) *string { return &s.CertFile }),
	},
	{
		Name: EnvKeyFile, Default: "–", Allowed: tlsFile, Meaning: "its private key",
		set: absolutePath(func(s *Settings) *string { return &s.KeyFile }),
	},
	{
		Name: EnvAWSRegion, Default: "`AWS_REGION`, `AWS_DEFAULT_REGION`", Allowed: "an AWS region", Meaning: "`xray`: whose endpoints, and what requests are signed for",
		set: func(s *Settings, value string) bool {
			return assign(&s.Region, value, validate.Region(value))
		},
	},
	{
		Name: EnvLogGroup, Default: "–", Allowed: "1 to 512 of `A-Z a-z 0-9 . - _ / #`", Meaning: "`xray`: the log group that logs go to; it must exist",
		set: func(s *Settings, value string) bool {
			return assign(&s.LogGroup, value, len(value) <= 512 && onlyPlain(value, ".-_/#"))
		},
	},
	{
		Name: EnvLogStream, Default: "–", Allowed: "1 to 512 characters without `:` and `*`", Meaning: "`xray`: the log stream; it must exist",
		set: func(s *Settings, value string) bool {
			return assign(&s.LogStream, value, len(value) <= 512 && !strings.ContainsAny(value, ":*\r\n"))
		},
	},
	{
		Name: EnvTimeout, Default: "`10s`", value: "10s", Allowed: "a duration from `100ms` to `1m`", Meaning: "of one request to the backend",
		set:      duration(func(s *Settings) *time.Duration { return &s.Timeout }, 100*time.Millisecond, time.Minute),
		harmless: true,
	},
	{
		Name: EnvRetryLimit, Default: "`5m`", value: "5m", Allowed: "a duration from `0s` to `24h`", Meaning: "how long a batch is tried before it is counted as dropped",
		set:      duration(func(s *Settings) *time.Duration { return &s.RetryLimit }, 0, 24*time.Hour),
		harmless: true,
	},
	{
		Name: EnvFlushInterval, Default: "`1s`", value: "1s", Allowed: "a duration from `10ms` to `1m`", Meaning: "how long a batch is gathered",
		set:      duration(func(s *Settings) *time.Duration { return &s.FlushInterval }, 10*time.Millisecond, time.Minute),
		harmless: true,
	},
	{
		Name: EnvDrainTimeout, Default: "`5s`", value: "5s", Allowed: "a duration from `0s` to `10m`", Meaning: "how long the queue may take to empty after SIGTERM; keep it inside the pod's grace period",
		set:      duration(func(s *Settings) *time.Duration { return &s.DrainTimeout }, 0, 10*time.Minute),
		harmless: true,
	},
	{
		Name: EnvQueueSize, Default: "`4Mi`", value: "4Mi", Allowed: "a quantity of bytes from `256Ki` to `1Gi`", Meaning: "what may wait for the backend, per signal; the oldest is dropped for the newest. At most a sixteenth of the memory limit is used",
		set:      size(func(s *Settings) *int64 { return &s.QueueSize }, 256<<10, 1<<30),
		harmless: true,
	},
	{
		Name: EnvBatchSize, Default: "`2Mi`", value: "2Mi", Allowed: "a quantity of bytes from `64Ki` to `64Mi`", Meaning: "of one request to the backend, uncompressed. A backend that refuses it gets smaller ones. At most half of the queue is used",
		set:      size(func(s *Settings) *int64 { return &s.BatchSize }, 64<<10, 64<<20),
		harmless: true,
	},
	{
		Name: EnvMaxRequestSize, Default: "`20Mi`", value: "20Mi", Allowed: "a quantity of bytes from `64Ki` to `256Mi`", Meaning: "of one request from the application, uncompressed; a larger one is refused. At most a third of the memory limit is used",
		set:      size(func(s *Settings) *int64 { return &s.MaxRequestSize }, 64<<10, 256<<20),
		harmless: true,
	},
	{
		Name: EnvStorageDir, Default: "–", Allowed: "an absolute path", Meaning: "folder that keeps the queue over a restart of the container, as in an `emptyDir`",
		set: absolutePath(func(s *Settings) *string { return &s.StorageDir }),
	},
	{
		Name: EnvResourceAttributes, Default: "–; set by injection", Allowed: "`key=value,key=value`, percent-encoded", Meaning: "added to each resource that lacks them; a `service.name` of `unknown_service…` counts as lacking",
		set: func(s *Settings, value string) bool {
			attributes, mistakes := attribute.Parse(value)
			s.Resource = attributes
			return len(mistakes) == 0
		},
	},
	{
		Name: EnvRedact, Default: "–; set by injection", Allowed: redaction.Form, Meaning: "what is redacted before anything is stored or sent ([redaction.md](redaction.md))",
		set: func(s *Settings, value string) bool {
			s.Redact, _ = redaction.Parse(value) // each mistake is reported of its own
			return true
		},
	},
	{
		Name: EnvRedactKey, Default: "–", Allowed: "a text, as from a Secret by `valueFrom`", Meaning: "key of the hashes; without it, rules that hash mask",
		set: func(s *Settings, value string) bool { return assign(&s.RedactKey, value, true) },
	},
	{
		Name: EnvSpanMetrics, Default: "`false`", value: "false", Allowed: "`true`, `false`", Meaning: "whether `/metrics` has the requests, errors and durations that spans stand for, and the P0 indicators",
		set: func(s *Settings, value string) bool {
			return assign(&s.SpanMetrics, value == "true", value == "true" || value == "false")
		},
		harmless: true,
	},
	{
		Name: EnvSpanSeries, Default: "`100`", value: "100", Allowed: "a number from `10` to `1000`", Meaning: "how many histograms of them may have labels of their own; the requests of all others are counted together",
		set: func(s *Settings, value string) bool {
			n, err := strconv.Atoi(value)
			return assign(&s.SpanMetricsSeries, n, err == nil && n >= 10 && n <= 1000)
		},
		harmless: true,
	},
	{
		Name: EnvListen, Default: "`127.0.0.1:4317,127.0.0.1:4318`", value: fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", PortOTLPGRPC, PortOTLPHTTP), Allowed: "a comma list of `host:port`", Meaning: "addresses that take OTLP, each of them by gRPC and by HTTP",
		set: func(s *Settings, value string) bool {
			addresses := strings.Split(value, ",")
			ok := !slices.ContainsFunc(addresses, func(a string) bool { return !validate.Address(a) })
			if ok {
				s.Listen = addresses
			}
			return ok
		},
	},
	{
		Name: EnvMetricsListen, Default: "`:18888`", value: fmt.Sprintf(":%d", MetricsPort), Allowed: "`host:port`", Meaning: "address of `/metrics`, `/health` and `/ready`",
		set: func(s *Settings, value string) bool {
			return assign(&s.MetricsListen, value, validate.Address(value))
		},
	},
	{
		Name: EnvTerminationFile, Default: "`/dev/termination-log`", value: "/dev/termination-log", Allowed: "an absolute path", Meaning: "where the ledger is kept, at every moment, if the file exists",
		set: absolutePath(func(s *Settings) *string { return &s.TerminationFile }),
	},
}

// assign sets the field to a valid value, and reports whether it was valid.
func assign[T any](field *T, value T, valid bool) bool {
	if valid {
		*field = value
	}
	return valid
}

func choice[T ~string](field func(*Settings) *T, allowed ...T) func(*Settings, string) bool {
	return func(s *Settings, value string) bool {
		return assign(field(s), T(value), slices.Contains(allowed, T(value)))
	}
}

func absolutePath(field func(*Settings) *string) func(*Settings, string) bool {
	return func(s *Settings, value string) bool {
		return assign(field(s), value, path.IsAbs(value))
	}
}

func duration(field func(*Settings) *time.Duration, minimum, maximum time.Duration) func(*Settings, string) bool {
	return func(s *Settings, value string) bool {
		d, ok := validate.Duration(value, minimum, maximum)
		return assign(field(s), d, ok)
	}
}

// setEndpoint refuses a user in the URL: it would be a secret in a pod's spec.
func setEndpoint(s *Settings, value string) bool {
	u, ok := validate.HTTPURL(value)
	return assign(&s.Endpoint, u, ok && u.RawQuery == "" && u.Fragment == "")
}

func setHeaders(s *Settings, value string) bool {
	headers, mistakes := attribute.Parse(value)
	valid := len(mistakes) == 0 && !slices.ContainsFunc(headers, func(h attribute.KeyValue) bool {
		return !isHeaderName(h.Key) || !isHeaderValue(h.Value)
	})
	return assign(&s.Headers, headers, valid)
}

func size(field func(*Settings) *int64, minimum, maximum int64) func(*Settings, string) bool {
	return func(s *Settings, value string) bool {
		amount, err := validate.ParseQuantity(value)
		if err != nil || !amount.IsInt() || amount.Cmp(big.NewRat(minimum, 1)) < 0 || amount.Cmp(big.NewRat(maximum, 1)) > 0 {
			return false
		}
		*field(s) = amount.Num().Int64()
		return true
	}
}

// ownHeaders are set by the transport or by the sidecar.
var ownHeaders = []string{
	"connection", "content-encoding", "content-length", "content-type", "host", "keep-alive", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade", "user-agent",
}

// isHeaderName accepts the names that both HTTP and gRPC carry, without those that
// gRPC keeps for itself and those that the transport sets.
func isHeaderName(name string) bool {
	lower := strings.ToLower(name)
	return onlyPlain(name, "-_.") && !strings.HasPrefix(lower, "grpc-") && !slices.Contains(ownHeaders, lower)
}

// isHeaderValue accepts printable ASCII, which is what gRPC carries ("gRPC over
// HTTP2", "Custom-Metadata"), without the spaces at its ends that HTTP cuts off.
func isHeaderValue(value string) bool {
	return strings.TrimSpace(value) == value && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}

// onlyPlain reports whether s consists of ASCII letters, digits and the extra bytes,
// and is not empty.
func onlyPlain(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return s != ""
}
