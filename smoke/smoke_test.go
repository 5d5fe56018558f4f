package smoke

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/testing/prerequisite"
)

var now = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

const goodMetrics = `# TYPE http_server_errors_total counter
http_server_errors_total{service="feed"} 0
# TYPE grpc_client_errors_total counter
grpc_client_errors_total 3
# TYPE redis_timeout_total counter
redis_timeout_total 0
`

const openMetrics = `# HELP http_server_errors Answers.
# TYPE http_server_errors counter
http_server_errors_total{path="/a # {b\"} c"} 1 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 1.0 1767322800.1
# TYPE grpc_client_errors counter
grpc_client_errors_total 3 1767322800.5
grpc_client_errors_total{code="14"} 1 1767322800 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 1.0
# TYPE queued_seconds gaugehistogram
queued_seconds_bucket{le="+Inf"} 1
# TYPE redis_timeout unknown
redis_timeout_total 0.0
# TYPE build info
build_info{version="1"} 1
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total 0.1
# EOF
`

// deployment is a service that serves HTTP, sends its spans to a real Jaeger and logs
// the trace id of each request. Its fields break it.
type deployment struct {
	metrics       string
	health, ready int
	exportTo      string // OTLP over HTTP; "" loses spans
	exportAs      string
	query         string // of the backend that it exports to
	logs          bool
	label         string
	backup        *time.Time
	down          bool
	problem       string

	mu  sync.Mutex
	log bytes.Buffer
}

func good(j jaeger) *deployment {
	yesterday := now.Add(-20 * time.Hour)
	return &deployment{metrics: goodMetrics, health: 200, ready: 200, exportTo: j.otlp, exportAs: "feed", query: j.query, logs: true, label: "structured", backup: &yesterday}
}

func (d *deployment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/metrics":
		fmt.Fprint(w, d.metrics)
	case "/health":
		w.WriteHeader(d.health)
	case "/ready":
		w.WriteHeader(d.ready)
		fmt.Fprint(w, "redis: connection refused")
	default:
		parts := strings.Split(r.Header.Get("Traceparent"), "-")
		if len(parts) == 4 && d.exportTo != "" {
			d.export(parts[1], parts[2])
		}
		if d.logs && len(parts) == 4 {
			d.mu.Lock()
			fmt.Fprintf(&d.log, `{"level":"INFO","fields":{"message":"request"},"span":{"trace_id":%q}}`+"\n", parts[1])
			d.mu.Unlock()
		}
		w.WriteHeader(http.StatusNotFound) // is traced too
	}
}

func (d *deployment) export(trace, parent string) {
	start := time.Now().UnixNano()
	body := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]},
		"scopeSpans":[{"spans":[{"traceId":%q,"spanId":"00000000000000ff","parentSpanId":%q,"name":"GET /","kind":2,
		"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`, d.exportAs, trace, parent, start, start+1000)
	response, err := http.Post(d.exportTo, "application/json", strings.NewReader(body))
	if err != nil {
		return
	}
	response.Body.Close()
	// Jaeger stores spans from a queue. Wait until it has this one, so that one try of
	// the check is enough.
	backend := Jaeger{URL: d.query, Client: http.DefaultClient}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if names, err := backend.Services(context.Background(), trace); err == nil && len(names) > 0 {
			return
		}
	}
}

func (d *deployment) readLogs(context.Context, time.Time) (io.ReadCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return io.NopCloser(strings.NewReader(d.log.String())), nil
}

// check runs all checks on the deployment.
func (d *deployment) check(t *testing.T, j jaeger, change func(*Options)) []Result {
	t.Helper()
	server := httptest.NewServer(d)
	if d.down {
		server.Close()
	} else {
		t.Cleanup(server.Close)
	}
	client := &http.Client{Timeout: time.Minute}
	o := Options{
		Services: []Service{{
			Namespace: "nova", Name: "feed", MetricsURL: server.URL + "/metrics", HealthURL: server.URL + "/health", ReadyURL: server.URL + "/ready",
			RequestURL: server.URL + "/feed", LogLabel: d.label, Logs: d.readLogs, Problem: d.problem,
		}},
		Backups: []Backup{{Namespace: "nova", StatefulSet: "postgres", Database: "nova_auth", LastSuccess: d.backup}},
		Client:  client, Counters: Counters, Traces: Jaeger{URL: j.query, Client: client}, BackupAge: 26 * time.Hour,
		Now: func() time.Time { return now },
	}
	if change != nil {
		change(&o)
	}
	return Run(t.Context(), o)
}

// TestRun breaks a good deployment in one way at a time. Each fault fails the checks
// that are named and no other.
func TestRun(t *testing.T) {
	j := startJaeger(t)
	long := now.Add(-27 * time.Hour)
	for _, c := range []struct {
		name  string
		fault func(*deployment)
		want  map[string]string // failed check: part of its message
	}{
		{"a good deployment passes", func(*deployment) {}, nil},
		{"OpenMetrics with exemplars and fractions of seconds passes", func(d *deployment) { d.metrics = openMetrics }, nil},
		{"metrics that do not parse", func(d *deployment) { d.metrics = "<html>not found</html>" }, map[string]string{KindMetrics: "parse metrics"}},
		{"a P0 counter is missing", func(d *deployment) {
			d.metrics = strings.ReplaceAll(goodMetrics, "redis_timeout_total", "redis_timeouts")
		}, map[string]string{KindMetrics: "missing counters: redis_timeout_total"}},
		{"a P0 counter is a gauge", func(d *deployment) {
			d.metrics = strings.ReplaceAll(goodMetrics, "redis_timeout_total counter", "redis_timeout_total gauge")
		}, map[string]string{KindMetrics: "redis_timeout_total is a gauge"}},
		{"a P0 counter has a type and no sample", func(d *deployment) {
			d.metrics = strings.ReplaceAll(goodMetrics, "redis_timeout_total 0\n", "")
		}, map[string]string{KindMetrics: "missing counters"}},
		{"unhealthy", func(d *deployment) { d.health = 500 }, map[string]string{KindHealth: "status 500"}},
		{"not ready", func(d *deployment) { d.ready = 503 }, map[string]string{KindReady: "status 503: redis: connection refused"}},
		{"spans are lost", func(d *deployment) { d.exportTo = "" }, map[string]string{KindTrace: "has not arrived"}},
		{"spans have another service's name", func(d *deployment) { d.exportAs = "unknown_service" }, map[string]string{KindTrace: "has spans of unknown_service, none of feed"}},
		{"logs have no trace id", func(d *deployment) { d.logs = false }, map[string]string{KindLogs: "no log line has trace"}},
		{"logs are not delivered", func(d *deployment) { d.label = "" }, map[string]string{KindLogs: "no label logging=structured"}},
		{"the backup is old", func(d *deployment) { d.backup = &long }, map[string]string{KindBackup: "27h0m0s old, more than 26h0m0s"}},
		{"there is no backup", func(d *deployment) { d.backup = nil }, map[string]string{KindBackup: "no backup"}},
		{"nothing listens", func(d *deployment) { d.down = true }, map[string]string{
			KindMetrics: "refused", KindHealth: "refused", KindReady: "refused", KindTrace: "refused", KindLogs: "refused",
		}},
		{"no pod runs", func(d *deployment) { d.problem = "no pod runs" }, map[string]string{
			KindMetrics: "no pod", KindHealth: "no pod", KindReady: "no pod", KindTrace: "no pod", KindLogs: "no pod",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := good(j)
			c.fault(d)
			results := d.check(t, j, nil)
			if len(results) != len(Kinds()) {
				t.Errorf("%d results, want %d", len(results), len(Kinds()))
			}
			for _, r := range results {
				want, fails := c.want[r.Check]
				if fails != (r.Status == Failed) || !strings.Contains(r.Message, want) || !fails && r.Status != Passed {
					t.Errorf("%s: %s %q, want failure %t with %q", r.Check, r.Status, r.Message, fails, want)
				}
			}
			if OK(results) != (len(c.want) == 0) {
				t.Errorf("OK is %t", OK(results))
			}
		})
	}
}

func TestRun_Wait(t *testing.T) {
	t.Run("repeats a check until it passes", func(t *testing.T) {
		d := good(jaeger{})
		tries := 0
		results := d.check(t, jaeger{}, func(o *Options) {
			o.Wait, o.Interval, o.Skip = time.Minute, time.Millisecond, []string{KindTrace}
			o.Services[0].Logs = func(ctx context.Context, since time.Time) (io.ReadCloser, error) {
				if tries++; tries < 3 {
					return nil, errors.New("not yet")
				}
				return d.readLogs(ctx, since)
			}
		})
		if !OK(results) || tries != 3 {
			t.Errorf("%d tries: %+v", tries, results)
		}
	})
	t.Run("ends with the last failure", func(t *testing.T) {
		d := good(jaeger{})
		d.ready = 503
		results := d.check(t, jaeger{}, func(o *Options) {
			o.Wait, o.Interval, o.Skip = 20*time.Millisecond, time.Millisecond, []string{KindTrace}
		})
		if OK(results) {
			t.Errorf("%+v", results)
		}
	})
	t.Run("ends with the context", func(t *testing.T) {
		d := good(jaeger{})
		d.ready = 503
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o := Options{Wait: time.Hour, Interval: time.Hour}
		if r := o.result(ctx, check{run: func(context.Context) error { return errors.New("x") }}); r.Status != Failed {
			t.Errorf("%+v", r)
		}
	})
}

func TestRun_Skips(t *testing.T) {
	t.Run("what cannot be checked says why", func(t *testing.T) {
		d := good(jaeger{})
		results := d.check(t, jaeger{}, func(o *Options) {
			o.Traces, o.Services[0].Logs, o.Services[0].ReadyURL = nil, nil, ""
			o.Backups[0].Suspended = "suspend: true"
		})
		got := map[string]string{}
		for _, r := range results {
			got[r.Check] = string(r.Status) + " " + r.Message
		}
		if diff := cmp.Diff(map[string]string{
			KindMetrics: "passed ", KindHealth: "passed ", KindReady: "skipped the service has no such endpoint", KindTrace: "skipped no trace backend is named",
			KindLogs: "skipped no source of logs is known", KindBackup: "skipped suspended: suspend: true",
		}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("nothing checked is not a success", func(t *testing.T) {
		if OK(nil) || OK([]Result{{Status: Skipped}}) {
			t.Error("it is")
		}
	})
}

func TestWrite(t *testing.T) {
	results := []Result{
		{Namespace: "nova", Target: "feed", Check: KindMetrics, Status: Passed, Seconds: 0.0123},
		{Namespace: "nova", Target: "feed", Check: KindReady, Status: Failed, Message: "status 503: <a>\nb"},
		{Namespace: "nova", Target: "postgres/nova_auth", Check: KindBackup, Status: Skipped, Message: "suspended"},
	}
	t.Run("table", func(t *testing.T) {
		var out strings.Builder
		if err := WriteTable(&out, results); err != nil {
			t.Fatal(err)
		}
		want := `NAMESPACE  TARGET              CHECK    STATUS   MESSAGE
nova       feed                metrics  passed   
nova       feed                ready    failed   status 503: <a> b
nova       postgres/nova_auth  backup   skipped  suspended
1 passed, 1 failed, 1 skipped
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		var out bytes.Buffer
		var again []Result
		if err := WriteJSON(&out, results); err != nil || json.Unmarshal(out.Bytes(), &again) != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(results, again); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("JUnit", func(t *testing.T) {
		var out bytes.Buffer
		var s suite
		if err := WriteJUnit(&out, results); err != nil || xml.Unmarshal(out.Bytes(), &s) != nil {
			t.Fatal(err)
		}
		if s.Tests != 3 || s.Failures != 1 || s.Skipped != 1 || s.Cases[1].Failure.Message != "status 503: <a>\nb" || s.Cases[0].Time != "0.012" {
			t.Errorf("%s", out.String())
		}
	})
}

// jaeger is a real one, with its store in memory.
type jaeger struct{ otlp, query string }

func startJaeger(t *testing.T) jaeger {
	t.Helper()
	path := prerequisite.Path(t, "NOVAWIRE_JAEGER", "jaeger")
	otlp, query := freeAddress(t), freeAddress(t)
	args := []string{"--collector.otlp.http.host-port=" + otlp, "--query.http-server.host-port=" + query, "--log-level=error"}
	for _, unused := range []string{
		"collector.otlp.grpc.", "admin.http.", "collector.grpc-server.", "collector.http-server.", "http-server.", "query.grpc-server.",
		"processor.jaeger-binary.server-", "processor.jaeger-compact.server-", "processor.zipkin-compact.server-",
	} {
		args = append(args, "--"+unused+"host-port="+freeAddress(t))
	}
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	deadline := time.Now().Add(time.Minute)
	for {
		response, err := http.Get("http://" + query + "/api/services")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return jaeger{"http://" + otlp + "/v1/traces", "http://" + query}
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("Jaeger does not answer")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
