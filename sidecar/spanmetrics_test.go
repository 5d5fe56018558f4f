package sidecar_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sidecarapi "github.com/nova/novawire/api/sidecar"
	"github.com/nova/novawire/internal/testing/fakeotlp"
	"github.com/nova/novawire/internal/testing/prerequisite"
)

// A real Prometheus scrapes the sidecar in its own preferred format, and has the requests,
// the indicators and the exemplars.
func TestSpanMetrics_Prometheus(t *testing.T) {
	t.Parallel()
	program := prerequisite.Path(t, "NOVAWIRE_PROMETHEUS", "promtool")
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, append(to(backend, sidecarapi.ProtocolGRPC), sidecarapi.EnvSpanMetrics+"=true", sidecarapi.EnvResourceAttributes+"=service.name=shop,k8s.pod.name=shop-1")...)
	app := newClient(t, p.otlp)
	td := app.spans(10, 0)
	first := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	first.Attributes().PutInt("http.response.status_code", 500)
	if err := app.send(td); err != nil {
		t.Fatal(err)
	}
	prometheus := startPrometheus(t, program, p.status)
	for query, want := range map[string]string{
		`http_server_requests_total{source="spans"}`: "10",
		`http_server_errors_total{source="spans"}`:   "1",
		`grpc_client_errors_total{source="spans"}`:   "0",
		`http_server_request_duration_seconds_count{http_response_status_code="200",http_request_method="GET",service_name="checkout"}`: "9",
		`http_server_request_duration_seconds_bucket{error_type="500",le="0.005"}`:                                                      "1",
		`novawire_sidecar_accepted_total{signal="traces"}`:                                                                              "10",
		`novawire_sidecar_info{backend="gateway"}`:                                                                                      "1",
	} {
		eventually(t, query+" is "+want, func() bool { return prometheus.value(query) == want })
	}
	id := first.TraceID().String()
	eventually(t, "the failed request is an exemplar", func() bool {
		return strings.Contains(prometheus.get("query_exemplars?start=0&end=2000000000&query=http_server_request_duration_seconds_bucket"), id)
	})

	// The metrics are no items: the ledger has what the application sent.
	if entry := p.stop()["metrics"]; entry.Accepted != 0 || len(backend.Taken("metrics")) != 0 {
		t.Errorf("metrics: %+v, %d delivered", entry, len(backend.Taken("metrics")))
	}
}

// What is redacted is in no label: the metrics are made of what the backend gets.
func TestSpanMetrics_SeeRedactedSpans(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, append(to(backend, sidecarapi.ProtocolGRPC), sidecarapi.EnvSpanMetrics+"=true", sidecarapi.EnvRedact+"=mask key http.route")...)
	app := newClient(t, p.otlp)
	td := app.spans(1, 0)
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().PutStr("http.route", "/s3cret")
	if err := app.send(td); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get("http://" + p.status + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if strings.Contains(string(text), "s3cret") || !strings.Contains(string(text), `http_route="`) {
		t.Errorf("the route is missing or not redacted:\n%s", text)
	}
}

// Rules neither hide where spans come from, unless they say so, nor do they change whose
// spans count.
func TestSpanMetrics_OwnSpansUnderRules(t *testing.T) {
	const mask = "[redacted]"
	cases := map[string]struct {
		rules    string
		own      bool
		resource map[string]string // what the backend gets
	}{
		"its own, a rule that cannot be read":   {"maks key x", true, map[string]string{"k8s.pod.uid": "uid-1", "service.name": "checkout", "team": "shop", "other": mask}},
		"another's, a rule that cannot be read": {"maks value x", false, map[string]string{"k8s.pod.uid": "uid-2", "service.name": "checkout", "team": "shop", "other": mask}},
		"its own, masked":                       {"mask key k8s.*", true, map[string]string{"k8s.pod.uid": mask, "service.name": "checkout", "team": "shop", "other": "x"}},
		"another's, masked":                     {"mask key k8s.*", false, map[string]string{"k8s.pod.uid": mask, "service.name": "checkout", "team": "shop", "other": "x"}},
		"another's, dropped":                    {"drop key k8s.*", false, map[string]string{"service.name": "checkout", "team": "shop", "other": "x"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := receiver(t, fakeotlp.Options{})
			p := start(t, append(to(backend, sidecarapi.ProtocolGRPC), sidecarapi.EnvSpanMetrics+"=true", sidecarapi.EnvRedact+"="+c.rules,
				sidecarapi.EnvResourceAttributes+"=k8s.pod.uid=uid-1,team=shop")...)
			app := newClient(t, p.otlp)
			td := app.spans(1, 0)
			attributes := td.ResourceSpans().At(0).Resource().Attributes()
			attributes.PutStr("k8s.pod.uid", map[bool]string{true: "uid-1", false: "uid-2"}[c.own])
			attributes.PutStr("team", "shop")
			attributes.PutStr("other", "x")
			if err := app.send(td); err != nil {
				t.Fatal(err)
			}
			series := map[bool]string{true: `http_server_requests_total{source="spans"}`, false: `novawire_sidecar_span_metrics_spans_total{result="foreign"}`}[c.own]
			if got := p.metric(series); got != 1 {
				t.Errorf("%s is %d, want 1", series, got)
			}
			p.stop()
			if diff := cmp.Diff(c.resource, backend.Resource("traces")); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpanMetrics_Off(t *testing.T) {
	t.Parallel()
	backend := receiver(t, fakeotlp.Options{})
	p := start(t, to(backend, sidecarapi.ProtocolGRPC)...)
	app := newClient(t, p.otlp)
	_ = app.send(app.spans(10, 0))
	for _, series := range []string{`http_server_requests_total{source="spans"}`, `novawire_sidecar_span_metrics_series`} {
		if got := p.metric(series); got != -1 {
			t.Errorf("%s is %d", series, got)
		}
	}
}

// prometheus is the address of a Prometheus that scrapes a target each second.
type prometheus string

func startPrometheus(t *testing.T, program, target string) prometheus {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: sidecar, static_configs: [{targets: [%q]}]}]\n", target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--enable-feature=exemplar-storage", "--web.listen-address="+address)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // the test's context has ended, and with it the process
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("Prometheus:\n%s", text)
		}
	})
	return prometheus(address)
}

// get returns the answer of Prometheus' API, or "".
func (p prometheus) get(path string) string {
	response, err := http.Get("http://" + string(p) + "/api/v1/" + path)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

// value returns the value of the only series that a query finds, or "".
func (p prometheus) value(query string) string {
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := json.Unmarshal([]byte(p.get("query?query="+url.QueryEscape(query))), &answer); err != nil || len(answer.Data.Result) != 1 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}
