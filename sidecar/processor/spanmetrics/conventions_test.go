package spanmetrics

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	server   = ptrace.SpanKindServer
	client   = ptrace.SpanKindClient
	internal = ptrace.SpanKindInternal
)

type attributes = map[string]any

// Each span is counted in one series at most; indicators are the P0 counters that it raises.
func TestMetrics_Conventions(t *testing.T) {
	const requests, errors = "http_server_requests_total", "http_server_errors_total"
	const calls, callErrors = "grpc_client_requests_total", "grpc_client_errors_total"
	for _, c := range []struct {
		name       string
		span       span
		series     string // "" if none
		indicators []string
	}{
		{
			"an HTTP request of today",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "url.scheme": "https", "http.route": "/cart/{id}", "http.response.status_code": 200}},
			"http_server_request_duration_seconds{http_request_method=GET,http_response_status_code=200,http_route=/cart/{id},service_name=cart,url_scheme=https}",
			[]string{requests},
		},
		{
			"an HTTP request of the older conventions",
			span{kind: server, attributes: attributes{"http.method": "POST", "http.scheme": "http", "http.route": "/pay", "http.status_code": 503}, failed: true},
			"http_server_request_duration_seconds{error_type=503,http_request_method=POST,http_response_status_code=503,http_route=/pay,service_name=cart,url_scheme=http}",
			[]string{requests, errors},
		},
		{
			"both conventions at once",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "http.method": "OLD", "http.response.status_code": 200, "http.status_code": 500}},
			"http_server_request_duration_seconds{http_request_method=GET,http_response_status_code=200,service_name=cart}",
			[]string{requests},
		},
		{
			"a status code as text",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "http.status_code": "500"}},
			"http_server_request_duration_seconds{error_type=500,http_request_method=GET,http_response_status_code=500,service_name=cart}",
			[]string{requests, errors},
		},
		{
			"an invented method",
			span{kind: server, attributes: attributes{"http.request.method": "HACK", "http.response.status_code": 405}},
			"http_server_request_duration_seconds{http_request_method=_OTHER,http_response_status_code=405,service_name=cart}",
			[]string{requests},
		},
		{
			"a client's fault that the instrumentation calls an error",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "http.response.status_code": 404, "error.type": "404"}, failed: true},
			"http_server_request_duration_seconds{http_request_method=GET,http_response_status_code=404,service_name=cart}",
			[]string{requests},
		},
		{
			"a handler that panics before it answers",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "error.type": "panic"}, failed: true},
			"http_server_request_duration_seconds{error_type=panic,http_request_method=GET,service_name=cart}",
			[]string{requests, errors},
		},
		{
			"an answer that breaks off",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "http.response.status_code": 200}, failed: true},
			"http_server_request_duration_seconds{error_type=_OTHER,http_request_method=GET,http_response_status_code=200,service_name=cart}",
			[]string{requests, errors},
		},
		{
			"a status code outside of HTTP",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "http.response.status_code": 7}},
			"http_server_request_duration_seconds{http_request_method=GET,service_name=cart}",
			[]string{requests},
		},
		{
			"an HTTP client's request",
			span{kind: client, attributes: attributes{"http.request.method": "GET", "http.response.status_code": 404, "server.address": "x"}, failed: true},
			"http_client_request_duration_seconds{error_type=404,http_request_method=GET,http_response_status_code=404,service_name=cart}", nil,
		},
		{
			"an HTTP client without an answer",
			span{kind: client, attributes: attributes{"http.method": "GET", "error.type": "ECONNREFUSED"}, failed: true},
			"http_client_request_duration_seconds{error_type=ECONNREFUSED,http_request_method=GET,service_name=cart}", nil,
		},
		{
			"a gRPC call of today",
			span{kind: client, attributes: attributes{"rpc.system.name": "grpc", "rpc.method": "nova.Users/Get", "rpc.response.status_code": "UNAVAILABLE", "error.type": "UNAVAILABLE"}, failed: true},
			"rpc_client_call_duration_seconds{error_type=UNAVAILABLE,rpc_method=nova.Users/Get,rpc_response_status_code=UNAVAILABLE,rpc_system_name=grpc,service_name=cart}",
			[]string{calls, callErrors},
		},
		{
			"a gRPC call of the older conventions",
			span{kind: client, attributes: attributes{"rpc.system": "grpc", "rpc.service": "nova.Users", "rpc.method": "Get", "rpc.grpc.status_code": 4}},
			"rpc_client_call_duration_seconds{error_type=DEADLINE_EXCEEDED,rpc_method=nova.Users/Get,rpc_response_status_code=DEADLINE_EXCEEDED,rpc_system_name=grpc,service_name=cart}",
			[]string{calls, callErrors},
		},
		{
			"a gRPC call that succeeds",
			span{kind: client, attributes: attributes{"rpc.system": "grpc", "rpc.grpc.status_code": 0}},
			"rpc_client_call_duration_seconds{rpc_response_status_code=OK,rpc_system_name=grpc,service_name=cart}",
			[]string{calls},
		},
		{
			"a gRPC call without a status",
			span{kind: client, attributes: attributes{"rpc.system": "grpc"}, failed: true},
			"rpc_client_call_duration_seconds{error_type=_OTHER,rpc_system_name=grpc,service_name=cart}",
			[]string{calls, callErrors},
		},
		{
			"a gRPC server that says not found",
			span{kind: server, attributes: attributes{"rpc.system": "grpc", "rpc.grpc.status_code": 5}, failed: true},
			"rpc_server_call_duration_seconds{rpc_response_status_code=NOT_FOUND,rpc_system_name=grpc,service_name=cart}", nil,
		},
		{
			"a gRPC server that fails",
			span{kind: server, attributes: attributes{"rpc.system": "grpc", "rpc.grpc.status_code": 13, "http.request.method": "POST"}},
			"rpc_server_call_duration_seconds{error_type=INTERNAL,rpc_response_status_code=INTERNAL,rpc_system_name=grpc,service_name=cart}", nil,
		},
		{
			"another RPC",
			span{kind: client, attributes: attributes{"rpc.system.name": "connectrpc", "rpc.response.status_code": "not_found"}},
			"rpc_client_call_duration_seconds{error_type=not_found,rpc_response_status_code=not_found,rpc_system_name=connectrpc,service_name=cart}", nil,
		},
		{
			"a query",
			span{kind: client, attributes: attributes{"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.query.text": "SELECT 1"}},
			"db_client_operation_duration_seconds{db_operation_name=SELECT,db_system_name=postgresql,service_name=cart}", nil,
		},
		{
			"a Redis command that times out",
			span{kind: client, attributes: attributes{"db.system": "redis", "db.operation": "GET", "error.type": "redis.exceptions.TimeoutError"}, failed: true},
			"db_client_operation_duration_seconds{db_operation_name=GET,db_system_name=redis,error_type=redis.exceptions.TimeoutError,service_name=cart}",
			[]string{"redis_timeout_total"},
		},
		{
			"a Redis command that fails",
			span{kind: client, attributes: attributes{"db.system.name": "redis", "error.type": "WRONGTYPE"}, failed: true},
			"db_client_operation_duration_seconds{db_system_name=redis,error_type=WRONGTYPE,service_name=cart}", nil,
		},
		{
			"a query that times out",
			span{kind: client, attributes: attributes{"db.system.name": "postgresql", "error.type": "timeout"}},
			"db_client_operation_duration_seconds{db_system_name=postgresql,error_type=timeout,service_name=cart}", nil,
		},
		{
			"a database by HTTP",
			span{kind: client, attributes: attributes{"db.system.name": "elasticsearch", "http.request.method": "GET"}},
			"db_client_operation_duration_seconds{db_system_name=elasticsearch,service_name=cart}", nil,
		},
		{"work within the service", span{kind: internal, attributes: attributes{"http.request.method": "GET"}}, "", nil},
		{"a server span that says nothing", span{kind: server}, "", nil},
		{"a message", span{kind: ptrace.SpanKindConsumer, attributes: attributes{"messaging.system": "kafka"}}, "", nil},
		{
			"a value with quotes and a backslash",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "http.route": "/\"a\\b\n"}},
			"http_server_request_duration_seconds{http_request_method=GET,http_route=/\"a\\b\n,service_name=cart}",
			[]string{requests},
		},
		{
			"a long value",
			span{kind: server, attributes: attributes{"http.request.method": "GET", "http.route": strings.Repeat("ä", 100)}},
			"http_server_request_duration_seconds{http_request_method=GET,http_route=" + strings.Repeat("ä", 64) + ",service_name=cart}",
			[]string{requests},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMetrics(10)
			observe(m, requestOf(t, cart, c.span))
			e, want := exposed(t, m), map[string]float64{}
			if c.series != "" {
				want[c.series] = 1
			}
			if diff := cmp.Diff(want, e.counts()); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
			var raised []string
			for _, i := range indicators {
				if e.value(i.name) > 0 {
					raised = append(raised, i.name)
				}
			}
			if diff := cmp.Diff(c.indicators, raised); diff != "" {
				t.Errorf("indicators (-want +got):\n%s", diff)
			}
		})
	}
}
