//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The services of examples, and the span that calls them.
const userService, contentService, callerSpan = "user-service", "content-service", "00f067aa0ba902b7"

// TestRust applies examples as the tutorial does, in a namespace of its own, and follows one
// request: its trace, its log lines, its counters. Then the database is backed up and
// restored under another name, and the services lose Redis and PostgreSQL.
func TestRust(t *testing.T) {
	t.Parallel()
	m := installMonitoring(t)
	n := installNova(t)

	trace := ""
	if !t.Run("a request is one trace over both services", func(t *testing.T) { trace = namespace{n.Resources, t, n.name}.checkTrace() }) {
		return // there is no trace to look for
	}
	t.Run("its log lines reach CloudWatch Logs from the files of the node", func(t *testing.T) { namespace{n.Resources, t, n.name}.checkLogLines(trace) })
	t.Run("Prometheus has its counters", func(t *testing.T) {
		for _, service := range []string{userService, contentService} {
			eventually(t, service+" has all counters, and the request in one", time.Minute, func(ctx context.Context) (bool, error) {
				of := fmt.Sprintf(`{namespace=%q,service=%q,source!="spans"}`, n.name, service) // not those of its sidecar
				requests, err := m.query(ctx, "sum(http_server_requests_total"+of+") > 0")
				others, _ := m.query(ctx, "sum(http_server_errors_total"+of+" + redis_timeout_total + grpc_client_errors_total) >= 0")
				return err == nil && len(requests) == 1 && len(others) == 1, nil
			})
		}
	})
	t.Run("the backup of its database restores", func(t *testing.T) { database{namespace{n.Resources, t, n.name}}.checkNovaContent() })
	t.Run("its nightly job ends, although its pod has a sidecar", func(t *testing.T) {
		kubectl(t, "", "-n", n.name, "create", "job", "tonight", "--from", "cronjob/nightly-report")
		kubectl(t, "", "-n", n.name, "wait", "job/tonight", "--for", "condition=Complete", "--timeout", "2m")
		out, _ := kubectl(t, "", "-n", n.name, "logs", "job/tonight", "-c", "report")
		if !strings.Contains(out, "7 |  1000") {
			t.Errorf("the report is\n%s", out)
		}
	})
	t.Run("novawire smoke passes", func(t *testing.T) {
		n := database{namespace{n.Resources, t, n.name}}
		out, err := n.novawire("smoke", "-n", n.name, "--wait", "1m", "--traces-url", n.forward(n.pod("jaeger", readyOrSucceeded), 16686))
		if err != nil {
			t.Errorf("novawire smoke: %v", err)
		}
		t.Logf("novawire smoke:\n%s", out)
	})
	t.Run("a stopped Redis raises its alert", func(t *testing.T) {
		namespace{n.Resources, t, n.name}.stopped(m, "deployment/redis", "NovaRedisTimeouts")
	})
	t.Run("a stopped PostgreSQL raises its alerts", func(t *testing.T) {
		namespace{n.Resources, t, n.name}.stopped(m, "statefulset/postgres", "NovaHTTPServerErrors", "NovaHTTPServerErrorsFastBurn")
	})
}

// stopped stops a workload when none of the alerts of user-service fires, and waits for them.
func (n namespace) stopped(m monitoring, workload string, names ...string) {
	n.t.Helper()
	m.t = n.t
	var want []labels
	for _, name := range names {
		want = append(want, alert(name, "namespace", n.name, "service", userService))
		eventually(n.t, name+" does not fire yet", 2*time.Minute, func(ctx context.Context) (bool, error) {
			firing, err := m.query(ctx, fmt.Sprintf(`ALERTS{alertname=%q,namespace=%q,service=%q}`, name, n.name, userService))
			return err == nil && len(firing) == 0, nil
		})
	}
	since := time.Now()
	kubectl(n.t, "", "-n", n.name, "scale", workload, "--replicas", "0")
	m.expect(since, func(ctx context.Context) { _, _ = n.feed(ctx, "") }, want...)
}

// installNova applies examples and waits until the services take requests.
func installNova(t *testing.T) namespace {
	t.Helper()
	n := inNamespace(t, true)
	objects, _ := kubectl(t, "", "kustomize", "../examples")
	kubectl(t, movedTo(n.name, objects), "apply", "-f", "-")
	// content-service waits longer each time that its init container finds no PostgreSQL.
	for _, workload := range []string{"statefulset/postgres", "deployment/" + contentService, "deployment/" + userService, "deployment/redis", "deployment/jaeger", "deployment/s3"} {
		kubectl(t, "", "-n", n.name, "rollout", "status", workload, "--timeout", "5m")
	}
	n.psql("nova_content", "INSERT INTO posts (author, title, likes) SELECT 7, 'post ' || n, n FROM generate_series(1, 1000) n", "INSERT INTO follows VALUES (1, 7)")
	return n
}

// psql runs statements on the database of examples and returns their output.
func (n namespace) psql(database string, statements ...string) string {
	n.t.Helper()
	args := []string{"-n", n.name, "exec", "postgres-0", "-c", "postgres", "--", "psql", "-h", "/tmp", "-U", "postgres", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database}
	for _, s := range statements {
		args = append(args, "-c", s)
	}
	out, _ := kubectl(n.t, "", args...)
	return strings.TrimSpace(out)
}

// feed asks user-service for the feed of user 1, as a span of a trace unless that is "".
func (n namespace) feed(ctx context.Context, trace string) (string, error) {
	request := n.clientset().CoreV1().RESTClient().Get().Namespace(n.name).Resource("services").Name(userService + ":8080").SubResource("proxy").Suffix("/feed/1")
	if trace != "" {
		request.SetHeader("traceparent", "00-"+trace+"-"+callerSpan+"-01")
	}
	answer, err := request.DoRaw(ctx)
	return string(answer), err
}

// checkTrace sends a request and checks that each of its spans has its parent in the trace,
// the pod it is of, and that content-service was called by HTTP and by gRPC.
func (n namespace) checkTrace() (id string) {
	n.t.Helper()
	var answer string
	eventually(n.t, "user-service answers", time.Minute, func(ctx context.Context) (_ bool, err error) {
		id = fmt.Sprintf("%032x", time.Now().UnixNano()) // one that failed has other spans
		answer, err = n.feed(ctx, id)
		return err == nil, nil
	})
	if !strings.Contains(answer, `"posts":["post 1000","post 999"`) {
		n.t.Errorf("the feed is %s", answer)
	}
	var trace jaegerTrace
	eventually(n.t, "Jaeger has the spans of both services", time.Minute, func(ctx context.Context) (bool, error) {
		var found struct{ Data []jaegerTrace }
		answer, err := n.get(ctx, "jaeger", 16686, "/api/traces/"+id)
		if err != nil || json.Unmarshal(answer, &found) != nil || len(found.Data) != 1 {
			return false, nil //nolint:nilerr // Jaeger answers 404 until the trace has arrived
		}
		trace = found.Data[0]
		return len(trace.Spans) >= len(feedSpans), nil
	})
	if got := trace.paths(); !slices.Equal(got, feedSpans) {
		n.t.Errorf("spans:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(feedSpans, "\n"))
	}
	for _, process := range trace.Processes {
		resource := map[string]string{}
		for _, tag := range process.Tags {
			resource[tag.Key] = fmt.Sprint(tag.Value)
		}
		var pod corev1.Pod
		if err := n.Get(n.t.Context(), resource["k8s.pod.name"], n.name, &pod); err != nil {
			n.t.Errorf("the pod of %s: %v: %v", process.ServiceName, err, resource)
			continue
		}
		want := podResource(&pod)
		want["k8s.deployment.name"], want["k8s.container.name"] = process.ServiceName, process.ServiceName
		if got := subset(resource, want); fmt.Sprint(got) != fmt.Sprint(want) || pod.Labels["app"] != process.ServiceName {
			n.t.Errorf("resource of %s: %v, want %v", process.ServiceName, got, want)
		}
	}
	return id
}

// feedSpans are the spans of a request that is not cached, each below its parent.
var feedSpans = []string{
	"GET /feed/{user} < the caller",
	"GET < build", "GET < cached", "SETEX < remember",
	"GET /trending < user-service GET", "trending < GET /trending", "select trending < trending",
	"build < feed", "cached < feed", "remember < feed", "feed < GET /feed/{user}", "select follows < build",
	"content.v1.Content/List < build",
	"content.v1.Content/List < user-service content.v1.Content/List", "list < content.v1.Content/List", "select posts < list",
}

func init() { slices.Sort(feedSpans) }

// jaegerTrace is the part of Jaeger's answer that the test checks.
type jaegerTrace struct {
	Spans []struct {
		SpanID, OperationName, ProcessID string
		References                       []struct{ RefType, SpanID string }
	}
	Processes map[string]struct {
		ServiceName string
		Tags        []struct {
			Key   string
			Value any
		}
	}
}

// paths returns each span with its parent, which is named with its service where the trace
// goes from one service to the other.
func (j jaegerTrace) paths() (all []string) {
	type named struct{ service, name string }
	spans := map[string]named{}
	for _, s := range j.Spans {
		spans[s.SpanID] = named{j.Processes[s.ProcessID].ServiceName, s.OperationName}
	}
	for _, s := range j.Spans {
		parent := "none"
		for _, r := range s.References {
			p := spans[r.SpanID]
			switch {
			case r.SpanID == callerSpan:
				parent = "the caller"
			case p.service == j.Processes[s.ProcessID].ServiceName:
				parent = p.name
			default:
				parent = p.service + " " + p.name
			}
		}
		all = append(all, s.OperationName+" < "+parent)
	}
	slices.Sort(all)
	return all
}

// checkNovaContent backs up the database now, restores it under another name and compares the
// rows.
func (d database) checkNovaContent() {
	d.t.Helper()
	const rows = "SELECT count(*) || ' ' || md5(string_agg(p::text, ',' ORDER BY id)) FROM posts p"
	before := d.psql("nova_content", rows)
	for _, args := range [][]string{
		{"now", "sts/postgres"},
		{"restore", "sts/postgres", "--database", "nova_content", "--to", "rescued"},
	} {
		out, err := d.novawire(append(append([]string{"backup"}, args...), "-n", d.name)...)
		if err != nil {
			d.t.Fatalf("novawire backup %s: %v\n%s", args[0], err, out)
		}
	}
	if after := d.psql("rescued", rows); after != before || !strings.HasPrefix(after, "1000 ") {
		d.t.Errorf("posts were %q and are %q", before, after)
	}
}
