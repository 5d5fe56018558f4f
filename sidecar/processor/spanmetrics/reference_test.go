package spanmetrics

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// reference makes metrics of decoded spans, by the rules of docs/sidecar.md.
type reference struct {
	limit      int
	series     map[string]float64
	sums       map[string]float64
	indicators map[string]float64
	results    map[string]float64
	spans      float64
}

func (r *reference) observe(td ptrace.Traces) {
	for _, resource := range td.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				r.spans++
				r.observeSpan(resource.Resource().Attributes(), s)
			}
		}
	}
}

func (r *reference) observeSpan(resource pcommon.Map, s ptrace.Span) {
	if uid, ok := resource.Get("k8s.pod.uid"); ok && uid.Str() != "uid-1" {
		r.results["foreign"]++
		return
	}
	first := func(keys ...string) string {
		for _, key := range keys {
			if v, ok := s.Attributes().Get(key); ok && v.AsString() != "" {
				return v.AsString()
			}
		}
		return ""
	}
	isServer, isClient := s.Kind() == ptrace.SpanKindServer, s.Kind() == ptrace.SpanKindClient
	_, hasType := s.Attributes().Get("error.type")
	failed := s.Status().Code() == ptrace.StatusCodeError || hasType
	name, code := "", ""
	labels := map[string]string{}
	rpc, db, verb := first("rpc.system.name", "rpc.system"), first("db.system.name", "db.system"), first("http.request.method", "http.method")
	side := map[bool]string{true: "server", false: "client"}[isServer]
	switch {
	case !isServer && !isClient:
	case rpc != "":
		name = "rpc_" + side + "_call_duration_seconds"
		code = first("rpc.response.status_code")
		if n, err := strconv.Atoi(first("rpc.grpc.status_code")); code == "" && err == nil {
			code = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"}[n]
		}
		if bad := code != "" && code != "OK"; bad && isClient {
			failed = true
		} else if bad && rpc == "grpc" {
			failed = slices.Contains([]string{"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}, code)
		}
		labels["rpc_system_name"], labels["rpc_response_status_code"] = rpc, code
		labels["rpc_method"] = strings.TrimPrefix(first("rpc.service")+"/"+first("rpc.method"), "/")
		if code == "OK" {
			code = ""
		}
	case db != "" && isClient:
		name = "db_client_operation_duration_seconds"
		labels["db_system_name"], labels["db_operation_name"] = db, first("db.operation.name", "db.operation")
	case verb != "":
		name = "http_" + side + "_request_duration_seconds"
		code = first("http.response.status_code", "http.status_code")
		if code >= "400" {
			failed = isClient || code >= "500"
		}
		labels["http_request_method"], labels["http_response_status_code"] = verb, code
		if isServer {
			labels["url_scheme"], labels["http_route"] = first("url.scheme", "http.scheme"), first("http.route")
		}
		if code < "400" {
			code = ""
		}
	}
	if name == "" {
		r.results["no_request"]++
		return
	}
	if failed {
		labels["error_type"] = "_OTHER"
		if code != "" {
			labels["error_type"] = code
		}
		if own := first("error.type"); own != "" {
			labels["error_type"] = own
		}
	}
	if v, ok := resource.Get("service.name"); ok {
		labels["service_name"] = v.Str()
	}
	r.add(name, labels, s)
	r.indicate(name, rpc, db, failed, first("error.type"), countOf(s))
}

func (r *reference) add(name string, labels map[string]string, s ptrace.Span) {
	var list []string
	for key, value := range labels {
		if value != "" {
			list = append(list, key+"="+value)
		}
	}
	slices.Sort(list)
	series, result := name+"{"+strings.Join(list, ",")+"}", "counted"
	known := 0
	for other := range r.series {
		if !strings.Contains(other, "overflow") {
			known++
		}
	}
	if _, ok := r.series[series]; !ok && known >= r.limit {
		series, result = name+"{otel_metric_overflow=true}", "overflow"
	}
	r.results[result]++
	r.series[series] += countOf(s)
	r.sums[series] += countOf(s) * s.EndTimestamp().AsTime().Sub(s.StartTimestamp().AsTime()).Seconds()
}

func (r *reference) indicate(name, rpc, db string, failed bool, why string, count float64) {
	requests, errors := "", ""
	switch {
	case name == "http_server_request_duration_seconds":
		requests, errors = "http_server_requests_total", "http_server_errors_total"
	case name == "rpc_client_call_duration_seconds" && rpc == "grpc":
		requests, errors = "grpc_client_requests_total", "grpc_client_errors_total"
	case strings.HasPrefix(name, "db_") && db == "redis" && failed && strings.Contains(strings.ToLower(why), "timeout"):
		requests = "redis_timeout_total"
	}
	r.indicators[requests] += count
	if failed {
		r.indicators[errors] += count
	}
}

func countOf(s ptrace.Span) float64 {
	switch state := s.TraceState().AsRaw(); {
	case strings.HasPrefix(state, "ot=th:"):
		digits := strings.TrimPrefix(state, "ot=th:")
		n, _ := strconv.ParseUint(digits, 16, 64)
		return 1 / (1 - float64(n)/math.Pow(16, float64(len(digits))))
	case strings.HasPrefix(state, "ot=p:"):
		n, _ := strconv.Atoi(strings.TrimPrefix(state, "ot=p:"))
		return math.Pow(2, float64(n))
	}
	return 1
}

// choices are values of attributes, by key; each may be absent.
var choices = map[string][]any{
	"http.request.method": {"GET", "POST"}, "http.method": {"PUT"}, "url.scheme": {"https"}, "http.scheme": {"http"}, "http.route": {"/a", "/b"},
	"http.response.status_code": {200, 404, 500}, "http.status_code": {302, "503"},
	"rpc.system.name": {"grpc", "connectrpc"}, "rpc.system": {"grpc"}, "rpc.service": {"Users"}, "rpc.method": {"Get"},
	"rpc.response.status_code": {"OK", "UNAVAILABLE", "NOT_FOUND"}, "rpc.grpc.status_code": {0, 2, 5},
	"db.system.name": {"redis", "postgresql"}, "db.system": {"redis"}, "db.operation.name": {"GET"}, "db.operation": {"SET"},
	"error.type": {"timeout", "Boom"}, "url.path": {"/a/1"}, "enduser.id": {"7"},
}

// likelihood is how often, of ten times, an attribute is there: those that decide what a
// span is are rare.
func likelihood(key string) int {
	switch {
	case strings.Contains(key, ".system"):
		return 1
	case key == "error.type":
		return 3
	}
	return 5
}

func randomSpans(g *rand.Rand) ptrace.Traces {
	td := ptrace.NewTraces()
	for i := range 1 + g.IntN(3) {
		r := td.ResourceSpans().AppendEmpty()
		if g.IntN(4) > 0 {
			r.Resource().Attributes().PutStr("service.name", fmt.Sprint("service-", i))
		}
		if g.IntN(3) == 0 {
			r.Resource().Attributes().PutStr("k8s.pod.uid", fmt.Sprint("uid-", 1+g.IntN(2)))
		}
		scope := r.ScopeSpans().AppendEmpty()
		for range g.IntN(20) {
			randomSpan(g, scope.Spans().AppendEmpty())
		}
	}
	return td
}

func randomSpan(g *rand.Rand, s ptrace.Span) {
	s.SetKind(ptrace.SpanKind(g.IntN(6)))
	if g.IntN(2) == 0 {
		s.SetKind(ptrace.SpanKind(2 + g.IntN(2)))
	}
	s.SetStartTimestamp(1_800_000_000_000_000_000)
	s.SetEndTimestamp(s.StartTimestamp() + pcommon.Timestamp(g.Int64N(12_000_000_000)))
	if g.IntN(4) == 0 {
		s.Status().SetCode(ptrace.StatusCodeError)
	}
	s.TraceState().FromRaw([]string{"", "", "ot=th:8", "ot=th:fd7", "ot=p:2", "vendor=1"}[g.IntN(6)])
	for _, key := range slices.Sorted(maps.Keys(choices)) {
		values := choices[key]
		if g.IntN(10) >= likelihood(key) {
			continue
		}
		switch v := values[g.IntN(len(values))].(type) {
		case string:
			s.Attributes().PutStr(key, v)
		case int:
			s.Attributes().PutInt(key, int64(v))
		}
	}
}
