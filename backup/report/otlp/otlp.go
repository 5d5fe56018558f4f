// Package otlp sends the spans and measurements of one run over OTLP/HTTP in its
// JSON form. OpenTelemetry's own SDK and exporters do more, batching and
// sampling, than a program needs that ends after one trace, and link as much
// again as all the rest of it.
//
// The encoding follows the OTLP specification, section "JSON Protobuf Encoding":
// ids in hexadecimal, 64-bit integers as strings.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nova/novawire/backup/report"
)

// Settings are what OpenTelemetry's variables say.
type Settings struct {
	Traces, Metrics string // URLs; "" sends none
	Headers         map[string]string
	Resource        map[string]string
	Timeout         time.Duration
}

const defaultTimeout = 10 * time.Second

// maxTimeoutMilliseconds is an hour. A longer timeout is ignored.
const maxTimeoutMilliseconds = 3_600_000

// FromEnvironment reads the variables of the OTLP exporter specification. Without
// an endpoint nothing is sent.
func FromEnvironment(getenv func(string) string, service, version string) Settings {
	s := Settings{Headers: pairs(getenv("OTEL_EXPORTER_OTLP_HEADERS")), Resource: pairs(getenv("OTEL_RESOURCE_ATTRIBUTES")), Timeout: defaultTimeout}
	if ms, err := strconv.Atoi(getenv("OTEL_EXPORTER_OTLP_TIMEOUT")); err == nil && ms > 0 && ms <= maxTimeoutMilliseconds {
		s.Timeout = time.Duration(ms) * time.Millisecond
	}
	if s.Resource["service.name"] == "" {
		s.Resource["service.name"] = service
	}
	if name := getenv("OTEL_SERVICE_NAME"); name != "" {
		s.Resource["service.name"] = name
	}
	s.Resource["service.version"] = version
	if getenv("OTEL_SDK_DISABLED") == "true" {
		return s
	}
	s.Traces = endpoint(getenv, "TRACES", "/v1/traces")
	s.Metrics = endpoint(getenv, "METRICS", "/v1/metrics")
	return s
}

// endpoint: the variable of one signal is used as it is, the common one is a base.
func endpoint(getenv func(string) string, signal, path string) string {
	if own := getenv("OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT"); own != "" {
		return own
	}
	if base := getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); base != "" {
		return strings.TrimSuffix(base, "/") + path
	}
	return ""
}

// pairs reads k=v,k=v with percent-encoded values.
func pairs(text string) map[string]string {
	found := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			continue
		}
		if decoded, err := url.PathUnescape(strings.TrimSpace(value)); err == nil {
			value = decoded
		}
		found[strings.TrimSpace(key)] = value
	}
	return found
}

// Send delivers what was recorded and measured. Its error is for the log alone.
func (r *Recorder) Send(ctx context.Context, measurements []report.Measurement, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, r.set.Timeout)
	defer cancel()
	var traceErr, metricErr error
	if r.set.Traces != "" {
		traceErr = r.post(ctx, r.set.Traces, r.traces())
	}
	if r.set.Metrics != "" && len(measurements) > 0 {
		metricErr = r.post(ctx, r.set.Metrics, r.metrics(measurements, at))
	}
	return errors.Join(traceErr, metricErr)
}

func (r *Recorder) post(ctx context.Context, to string, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode telemetry: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send telemetry: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range r.set.Headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("send telemetry: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("send telemetry: %s answered %s", to, response.Status)
	}
	return nil
}
