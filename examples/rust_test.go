// Package examples tests the examples that are programs.
package examples

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/testing/chunks"
	"github.com/nova/novawire/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	sampled      = "traceparent: 00-" + callersTrace + "-" + callersSpan + "-01"
)

// TestRust_Crates runs the crates' own tests.
func TestRust_Crates(t *testing.T) { cargo(t, "test", "--locked", "--workspace") }

// nova is both services with real servers behind them.
type nova struct {
	postgres      *pgtest.Postgres
	redis         *redis
	user, content *process
}

// startNova starts both, user-service with one set of variables and content-service
// with the other.
func startNova(t *testing.T, user, content []string) *nova {
	t.Helper()
	cargo(t, "build", "--locked", "--workspace")
	n := &nova{postgres: pgtest.NewPostgres(t), redis: startRedis(t)}
	n.postgres.Exec(t, "postgres", "CREATE DATABASE nova_content")
	database := "DATABASE_URL=" + n.postgres.URL("nova_content")
	for range 2 { // an init container runs at each start
		if output, code := run(t, "content-service", []string{"migrate"}, database); code != 0 {
			t.Fatalf("migrate: exit code %d\n%s", code, output)
		}
	}
	n.postgres.Exec(t, "nova_content", "INSERT INTO posts (author, title, likes) VALUES (7, 'first', 3), (7, 'second', 9), (8, 'of another', 1)",
		"INSERT INTO follows VALUES (1, 7)")
	n.content = start(t, "content-service", append(content, database)...)
	n.user = start(t, "user-service", append(user, database, "REDIS_URL=redis://127.0.0.1:"+n.redis.port, "CONTENT_SERVICE=http://"+n.content.address)...)
	return n
}

// exporting are the variables that Novawire injects.
func exporting(service, protocol, endpoint string) []string {
	return []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_SERVICE_NAME=" + service,
		"OTEL_RESOURCE_ATTRIBUTES=k8s.pod.name=" + service + "-0", "OTEL_PROPAGATORS=tracecontext,baggage", "OTEL_BSP_SCHEDULE_DELAY=50",
	}
}

// feed asks for a feed and checks the answer's status.
func (n *nova) feed(t *testing.T, want int, headers ...string) (body string) {
	t.Helper()
	status, body, err := n.user.get("/feed/1", headers...)
	if err != nil || status != want {
		t.Fatalf("GET /feed/1: status %d, want %d: %v\n%s", status, want, err, body)
	}
	return body
}

// forget empties the cache.
func (n *nova) forget() {
	n.redis.stop()
	n.redis.start()
}

// usesCache waits for a feed that asks content-service nothing. It is fresh for seconds,
// which may pass on a busy machine.
func (n *nova) usesCache(t *testing.T) {
	t.Helper()
	pgtest.Eventually(t, "the cache is used", patience, func() bool {
		before := n.content.metric(t, "http_server_requests_total")
		n.feed(t, http.StatusOK)
		return n.content.metric(t, "http_server_requests_total") == before
	})
}

func TestRust_Services(t *testing.T) {
	c := startCollector(t)
	n := startNova(t, exporting("user-service", "grpc", c.grpc), exporting("content-service", "http/protobuf", c.http))

	t.Run("the P0 counters are 0 before the first request", func(t *testing.T) {
		for _, p := range []*process{n.user, n.content} {
			for _, name := range []string{"http_server_requests_total", "http_server_errors_total", "grpc_client_requests_total", "grpc_client_errors_total", "redis_timeout_total"} {
				if got := p.metric(t, name); got != "0" {
					t.Errorf("%s is %q, want 0", name, got)
				}
			}
			if status, body, err := p.get("/health"); status != http.StatusOK || err != nil {
				t.Errorf("/health: status %d: %v\n%s", status, err, body)
			}
		}
	})

	t.Run("a request is one trace over both services, below the caller's span", func(t *testing.T) {
		var feed struct {
			Posts    []string
			Trending string
		}
		body := n.feed(t, http.StatusOK, sampled)
		if err := json.Unmarshal([]byte(body), &feed); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"second", "first"}, feed.Posts); diff != "" || feed.Trending != "second" {
			t.Errorf("the feed is %s", body)
		}
		var spans []span
		pgtest.Eventually(t, "all spans arrive", patience, func() bool {
			spans = c.ofTrace(callersTrace)
			return len(spans) >= len(wantTree)
		})
		if diff := cmp.Diff(wantTree, tree(spans)); diff != "" {
			t.Errorf("tree (-want +got):\n%s", diff)
		}
		for _, s := range spans {
			if s.pod != s.service+"-0" || s.failed {
				t.Errorf("pod %q, failed %t: %+v", s.pod, s.failed, s)
			}
		}
	})

	t.Run("the request's lines carry its trace id and a span of it", func(t *testing.T) {
		spans := c.ofTrace(callersTrace)
		for name, p := range map[string]*process{"GET /feed/{user}": n.user, "content.v1.Content/List": n.content, "GET /trending": n.content} {
			l := p.find(t, callersTrace, "a line of "+name, 1, func(l line) bool { return l.Fields["message"] == name })[0]
			if !slices.ContainsFunc(spans, func(s span) bool { return s.id == l.SpanID && s.name == name }) || l.Fields["http.response.status_code"] != 200.0 {
				t.Errorf("span id or status of %s", l.text)
			}
		}
	})

	t.Run("what succeeds counts as a request, with its trace as exemplar", func(t *testing.T) {
		expect(t, n.user, map[string]string{"http_server_requests_total": "1", "grpc_client_requests_total": "1", "http_server_errors_total": "0", "grpc_client_errors_total": "0", "redis_timeout_total": "0"})
		expect(t, n.content, map[string]string{"http_server_requests_total": "2", "http_server_errors_total": "0"})
		if _, text, _ := n.user.get("/metrics"); !strings.Contains(text, `http_server_requests_total 1 # {trace_id="`+callersTrace+`"} 1`) {
			t.Errorf("no exemplar in\n%s", text)
		}
	})

	t.Run("a cached feed asks nobody else", func(t *testing.T) {
		n.usesCache(t)
	})

	t.Run("a path that does not exist has no name of its own", func(t *testing.T) {
		const trace = "11111111111111111111111111111111"
		if status, _, err := n.user.get("/secret/path", strings.Replace(sampled, callersTrace, trace, 1)); status != http.StatusNotFound {
			t.Fatal(status, err)
		}
		pgtest.Eventually(t, "its span arrives", patience, func() bool { return len(c.ofTrace(trace)) == 1 })
		if got := c.ofTrace(trace)[0].name; got != "GET" {
			t.Errorf("the span is named %q, want GET", got)
		}
	})

	t.Run("a caller that samples nothing gets no spans, and lines with its id", func(t *testing.T) {
		const trace = "22222222222222222222222222222222"
		n.feed(t, http.StatusOK, strings.Replace(strings.TrimSuffix(sampled, "01")+"00", callersTrace, trace, 1))
		n.user.find(t, trace, "a line has the trace id", 1, func(line) bool { return true })
		const after = "33333333333333333333333333333333"
		n.feed(t, http.StatusOK, strings.Replace(sampled, callersTrace, after, 1))
		pgtest.Eventually(t, "a later trace arrives", patience, func() bool { return len(c.ofTrace(after)) > 0 })
		if spans := c.ofTrace(trace); len(spans) > 0 {
			t.Errorf("exported: %+v", spans)
		}
	})

	t.Run("without Redis the feed is complete, and each command counts", func(t *testing.T) {
		before := n.user.metric(t, "redis_timeout_total")
		n.redis.stop()
		const trace = "44444444444444444444444444444444"
		if body := n.feed(t, http.StatusOK, strings.Replace(sampled, callersTrace, trace, 1)); !strings.Contains(body, "second") {
			t.Errorf("the feed is %s", body)
		}
		if after := n.user.metric(t, "redis_timeout_total"); before != "0" || after != "2" { // GET and SETEX
			t.Errorf("redis_timeout_total was %s and is %s, want 2", before, after)
		}
		n.user.find(t, trace, "a line of the request", 1, func(l line) bool { return l.Fields["message"] == "GET /feed/{user}" }) // the last one
		lines := n.user.find(t, trace, "lines that count it", 2, func(l line) bool { return l.Level == "WARN" && l.Fields["redis_timeout_total"] == 1.0 })
		if len(lines) != 2 {
			t.Errorf("%d lines count it, want 2: %v", len(lines), lines)
		}
		n.redis.start()
		n.usesCache(t)
	})

	t.Run("without PostgreSQL each side counts its errors, and recovers", func(t *testing.T) {
		n.forget()
		n.postgres.Kill()
		const trace = "55555555555555555555555555555555"
		n.feed(t, http.StatusServiceUnavailable, strings.Replace(sampled, callersTrace, trace, 1))
		expect(t, n.user, map[string]string{"http_server_errors_total": "1"})
		if status, _, err := n.content.get("/trending"); status != http.StatusServiceUnavailable {
			t.Errorf("GET /trending: status %d: %v", status, err)
		}
		expect(t, n.content, map[string]string{"http_server_errors_total": "1"})
		pgtest.Eventually(t, "the failed spans arrive", patience, func() bool {
			return slices.ContainsFunc(c.ofTrace(trace), func(s span) bool { return s.failed && s.parent == callersSpan })
		})
		n.user.find(t, trace, "a line with the reason", 1, func(l line) bool { return l.Level == "ERROR" && l.Fields["error"] != nil })
		if err := n.postgres.Start(); err != nil {
			t.Fatal(err)
		}
		pgtest.Eventually(t, "the feed is back", patience, func() bool {
			status, _, err := n.user.get("/feed/1")
			return err == nil && status == http.StatusOK
		})
	})

	t.Run("the Fluent Bit plugin counts the same from content-service's lines", func(t *testing.T) { sameCounts(t, n.content) })

	t.Run("without content-service gRPC calls count", func(t *testing.T) {
		n.forget()
		before, _ := strconv.Atoi(n.user.metric(t, "grpc_client_errors_total"))
		n.content.end(syscall.SIGKILL)
		n.feed(t, http.StatusServiceUnavailable)
		expect(t, n.user, map[string]string{"grpc_client_errors_total": strconv.Itoa(before + 1)})
	})

	t.Run("the Fluent Bit plugin counts the same from user-service's lines", func(t *testing.T) { sameCounts(t, n.user) })
}

// expect compares counters.
func expect(t *testing.T, p *process, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for name := range want {
		got[name] = p.metric(t, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// sameCounts compares what the plugin counts in a service's lines, for the CloudWatch
// alarms, with the counters, for Prometheus' alerts.
func sameCounts(t *testing.T, p *process) {
	t.Helper()
	counter := func(name string) uint32 {
		value, err := strconv.ParseUint(p.metric(t, name), 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return uint32(value)
	}
	want := record.Tally{HTTPServerErrors: counter("http_server_errors_total"), GRPCClientErrors: counter("grpc_client_errors_total"), RedisTimeouts: counter("redis_timeout_total")}
	if want.HTTPServerErrors == 0 {
		t.Error("nothing has failed")
	}
	var got record.Tally
	pgtest.Eventually(t, "all lines are read", patience, func() bool { // the last request's is the last
		got = record.Tally{}
		for _, l := range p.log("") {
			decoder := record.Decoder{Pods: &record.Pods{Node: "node-a", Destination: func(*record.Pod) any { return nil }}}
			chunk := decoder.Decode(chunks.Line(chunks.Noon, l.text, chunks.Kubernetes("nova", "user-service", "app", "node-a")), "kube.x", 0)
			for i := range chunk.Events {
				got.Add(chunk.Tally(&chunk.Events[i]))
			}
		}
		got.ErrorLines = 0 // no counter of the services
		return got.HTTPServerErrors >= want.HTTPServerErrors
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-) and lines (+) differ:\n%s", diff)
	}
}

// wantTree are the spans of one request, each with the path from the caller's span.
var wantTree = []string{
	"user-service GET /feed/{user} Server",
	"user-service GET /feed/{user} Server > feed Internal",
	"user-service GET /feed/{user} Server > feed Internal > build Internal",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > GET Client",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > GET Client > content-service GET /trending Server",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > GET Client > content-service GET /trending Server > trending Internal",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > GET Client > content-service GET /trending Server > trending Internal > select trending Client",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > content.v1.Content/List Client",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > content.v1.Content/List Client > content-service content.v1.Content/List Server",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > content.v1.Content/List Client > content-service content.v1.Content/List Server > list Internal",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > content.v1.Content/List Client > content-service content.v1.Content/List Server > list Internal > select posts Client",
	"user-service GET /feed/{user} Server > feed Internal > build Internal > select follows Client",
	"user-service GET /feed/{user} Server > feed Internal > cached Internal",
	"user-service GET /feed/{user} Server > feed Internal > cached Internal > GET Client",
	"user-service GET /feed/{user} Server > feed Internal > remember Internal",
	"user-service GET /feed/{user} Server > feed Internal > remember Internal > SETEX Client",
}

// tree writes each span with its parents; the service's name is where it changes.
func tree(spans []span) (paths []string) {
	byID := map[string]span{}
	for _, s := range spans {
		byID[s.id] = s
	}
	var path func(s span) string
	path = func(s span) string {
		name := s.name + " " + s.kind
		parent, ok := byID[s.parent]
		switch {
		case s.parent == callersSpan:
			return s.service + " " + name
		case !ok:
			return "parent unknown: " + name
		case parent.service != s.service:
			return path(parent) + " > " + s.service + " " + name
		}
		return path(parent) + " > " + name
	}
	for _, s := range spans {
		paths = append(paths, path(s))
	}
	slices.Sort(paths)
	return paths
}
