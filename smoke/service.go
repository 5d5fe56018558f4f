package smoke

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/nova/novawire/api/injection"
)

// maxBody limits what is read of an answer, in bytes.
const maxBody = 16 << 20

func (o Options) serviceChecks(s Service) []check {
	problem := func(run func(context.Context) error) func(context.Context) error {
		if s.Problem == "" {
			return run
		}
		return func(context.Context) error { return errors.New(s.Problem) }
	}
	p := newProbe(o, s)
	checks := []check{
		{kind: KindMetrics, run: func(ctx context.Context) error { return o.metrics(ctx, s.MetricsURL) }},
		{kind: KindHealth, run: func(ctx context.Context) error { _, err := o.get(ctx, s.HealthURL, nil); return err }},
		{kind: KindReady, run: func(ctx context.Context) error { _, err := o.get(ctx, s.ReadyURL, nil); return err }},
		{kind: KindTrace, run: p.trace},
		{kind: KindLogs, run: p.logs},
	}
	if s.Problem == "" {
		for i, url := range []string{s.MetricsURL, s.HealthURL, s.ReadyURL} {
			if url == "" {
				checks[i].skip = "the service has no such endpoint"
			}
		}
		if o.Traces == nil {
			checks[3].skip = "no trace backend is named"
		}
		if s.Logs == nil {
			checks[4].skip = "no source of logs is known"
		}
		if s.RequestURL == "" {
			checks[3].skip, checks[4].skip = "no request is named", "no request is named"
		}
	}
	for i := range checks {
		checks[i].namespace, checks[i].target = s.Namespace, s.Name
		checks[i].run = problem(checks[i].run)
	}
	return checks
}

// get sends a request and returns the body of an answer with status 200 to 299.
func (o Options) get(ctx context.Context, url string, header http.Header) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header
	}
	response, err := o.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	if response.StatusCode/100 != 2 {
		text, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return nil, fmt.Errorf("GET %s: status %d: %.200s", url, response.StatusCode, text)
	}
	return body, nil
}

// What OpenMetrics has and the text format of Prometheus does not: after a sample, a timestamp in
// seconds with a fraction and an exemplar; and three types. No timestamp is needed here.
var (
	afterSample = regexp.MustCompile(`(?m)^([a-zA-Z_:][\w:]*(?:\{(?:[^"}\n]|"(?:[^"\\\n]|\\.)*")*\})? \S+)(?: [-+.\deE]+)?(?: # \{.*)?$`)
	furtherType = regexp.MustCompile(`(?m)^# TYPE \S+ (?:unknown|info|stateset)$`)
)

// asText makes the text format of Prometheus out of OpenMetrics. Libraries that have
// exemplars answer with it whatever a request accepts.
func asText(metrics []byte) []byte {
	return furtherType.ReplaceAll(afterSample.ReplaceAll(metrics, []byte("$1")), []byte("# without a type"))
}

// metrics checks that the text parses and has every counter.
func (o Options) metrics(ctx context.Context, url string) error {
	body, err := o.get(ctx, url, http.Header{"Accept": {"text/plain;version=0.0.4"}})
	if err != nil {
		return err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(asText(body)))
	if err != nil {
		return fmt.Errorf("parse metrics: %w", err)
	}
	var missing []string
	for _, name := range o.Counters {
		family := families[name]
		switch {
		case family == nil || len(family.GetMetric()) == 0:
			missing = append(missing, name)
		case family.GetType() != dto.MetricType_COUNTER && family.GetType() != dto.MetricType_UNTYPED:
			return fmt.Errorf("%s is a %s, not a counter", name, strings.ToLower(family.GetType().String()))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing counters: %s", strings.Join(missing, ", "))
	}
	return nil
}

// probe sends one request with a trace context of its own and looks for what it left.
// The trace check and the log check share it.
type probe struct {
	options Options
	service Service
	traceID string
	sent    chan struct{} // holds a token until the request was answered
	done    bool
}

func newProbe(o Options, s Service) *probe {
	var id [16]byte
	rand.Read(id[:])
	p := &probe{options: o, service: s, traceID: hex.EncodeToString(id[:]), sent: make(chan struct{}, 1)}
	p.sent <- struct{}{}
	return p
}

// send sends the request, once. Any answer will do: a status of 404 is traced too.
func (p *probe) send(ctx context.Context) error {
	select {
	case <-p.sent:
		defer func() { p.sent <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.done {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.service.RequestURL, nil)
	if err != nil {
		return err
	}
	request.Header.Set("traceparent", "00-"+p.traceID+"-"+p.traceID[:16]+"-01")
	response, err := p.options.Client.Do(request)
	if err != nil {
		return fmt.Errorf("send a request with trace %s: %w", p.traceID, err)
	}
	defer func() { _ = response.Body.Close() }()
	p.done = true
	return nil
}

// trace checks that the backend has a span of the service with the trace's id.
func (p *probe) trace(ctx context.Context) error {
	if err := p.send(ctx); err != nil {
		return err
	}
	services, err := p.options.Traces.Services(ctx, p.traceID)
	switch {
	case err != nil:
		return fmt.Errorf("ask the trace backend: %w", err)
	case len(services) == 0:
		return fmt.Errorf("trace %s has not arrived", p.traceID)
	case !slices.Contains(services, p.service.Name):
		return fmt.Errorf("trace %s has spans of %s, none of %s", p.traceID, strings.Join(services, ", "), p.service.Name)
	}
	return nil
}

// logs checks that the service logged a line with the trace's id, and that its pods
// have the label by which logs are delivered.
func (p *probe) logs(ctx context.Context) error {
	if p.service.LogLabel != injection.LoggingStructured {
		return fmt.Errorf("the pod has no label %s=%s: its logs are not delivered", injection.LabelLogging, injection.LoggingStructured)
	}
	since := p.options.Now().Add(-p.options.Client.Timeout)
	if err := p.send(ctx); err != nil {
		return err
	}
	lines, err := p.service.Logs(ctx, since)
	if err != nil {
		return fmt.Errorf("read logs: %w", err)
	}
	defer func() { _ = lines.Close() }()
	for scanner := bufio.NewScanner(io.LimitReader(lines, maxBody)); scanner.Scan(); {
		if strings.Contains(scanner.Text(), p.traceID) {
			return nil
		}
	}
	return fmt.Errorf("no log line has trace %s", p.traceID)
}
