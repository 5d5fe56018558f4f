package spanmetrics

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/wire"
)

// The families of histograms: one for each metric of the semantic conventions.
const (
	httpServer = iota
	httpClient
	rpcServer
	rpcClient
	dbClient
	familyCount
)

type family struct {
	name, help string
	labels     []string
	bounds     []float64 // in seconds, as the conventions advise
}

const maxLabels = 6

var (
	requestBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	dbBounds      = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}
)

// families have the names that OpenTelemetry's metrics have in Prometheus, such as
// http.server.request.duration.
var families = [familyCount]family{
	httpServer: {
		"http_server_request_duration_seconds", "Duration of HTTP server requests, from spans.",
		[]string{"service_name", "http_request_method", "url_scheme", "http_route", "http_response_status_code", "error_type"},
		requestBounds,
	},
	httpClient: {
		"http_client_request_duration_seconds", "Duration of HTTP client requests, from spans.",
		[]string{"service_name", "http_request_method", "http_response_status_code", "error_type"},
		requestBounds,
	},
	rpcServer: {
		"rpc_server_call_duration_seconds", "Duration of incoming RPCs, from spans.",
		[]string{"service_name", "rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type"},
		requestBounds,
	},
	rpcClient: {
		"rpc_client_call_duration_seconds", "Duration of outgoing RPCs, from spans.",
		[]string{"service_name", "rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type"},
		requestBounds,
	},
	dbClient: {
		"db_client_operation_duration_seconds", "Duration of database client operations, from spans.",
		[]string{"service_name", "db_system_name", "db_operation_name", "error_type"},
		dbBounds,
	},
}

// The P0 indicators, and the totals that the alerts divide them by.
const (
	httpServerRequests = iota
	httpServerErrors
	grpcClientRequests
	grpcClientErrors
	redisTimeouts
	indicatorCount
)

var indicators = [indicatorCount]struct{ name, help string }{
	httpServerRequests: {"http_server_requests_total", "HTTP requests that were answered, from spans."},
	httpServerErrors:   {"http_server_errors_total", "HTTP requests that failed by the fault of the server, from spans."},
	grpcClientRequests: {"grpc_client_requests_total", "gRPC calls to others, from spans."},
	grpcClientErrors:   {"grpc_client_errors_total", "gRPC calls to others with a status other than OK, from spans."},
	redisTimeouts:      {"redis_timeout_total", "Redis commands that timed out, from spans."},
}

// Results say what became of a span.
const (
	counted   = iota // in a series of its own labels
	overflow         // in the series for all labels beyond the limit
	noRequest        // no span of a request: nothing to count
	foreign          // of another pod
	resultCount
)

var results = [resultCount]string{"counted", "overflow", "no_request", "foreign"}

// Metrics are the metrics of the requests that spans stand for. Its methods are safe for
// concurrent use.
type Metrics struct {
	config Config
	log    *zap.Logger

	mu         sync.Mutex
	reader     *wire.SpanReader
	visit      func(*wire.Span)
	foreign    []bool // by resource, of the request at hand
	clock      func() time.Time
	now        uint64 // ns since 1970
	request    request
	key        []byte
	byKey      map[string]*series
	series     [familyCount][]*series // only appended to
	overflow   [familyCount]*series
	indicators [indicatorCount]float64
	spans      [resultCount]int64
	unknown    int64 // spans without a sampling probability that is believed
}

// NewMetrics returns metrics without a request. The indicators are there at zero.
func NewMetrics(config Config, log *zap.Logger) *Metrics {
	m := &Metrics{config: config, log: log, byKey: map[string]*series{}, clock: time.Now}
	m.reader = wire.NewSpanReader(attributeCount, attributePlace, resourceCount, resourcePlace)
	m.visit = m.observe
	return m
}

// Observe counts the spans of a request that wire.Scan has accepted. foreign says which of
// its resources are of other pods ([Config.Foreign]).
func (m *Metrics) Observe(request []byte, foreign []bool) {
	m.mu.Lock()
	unknown := m.unknown
	m.foreign, m.now = foreign, uint64(m.clock().UnixNano()) //nolint:gosec // after 1970
	m.reader.Read(request, m.visit)
	first := unknown == 0 && m.unknown > 0
	m.mu.Unlock()
	if first {
		m.log.Info("spans have no sampling probability in tracestate, or one that is not believed; each counts as one request, also if a sampler before it keeps only a share")
	}
}

func (m *Metrics) observe(s *wire.Span) {
	switch {
	case s.ResourceIndex < len(m.foreign) && m.foreign[s.ResourceIndex]:
		m.spans[foreign]++
		return
	case !m.request.read(s):
		m.spans[noRequest]++
		return
	}
	count, known := adjustedCount(s.TraceState)
	if !known {
		m.unknown++
	}
	m.indicate(s, count)
	m.find().observe(s, count, m.now)
}

func (m *Metrics) indicate(s *wire.Span, count float64) {
	requests, errors := -1, -1
	switch {
	case m.request.family == httpServer:
		requests, errors = httpServerRequests, httpServerErrors
	case m.request.family == rpcClient && isGRPC(s.Attributes):
		requests, errors = grpcClientRequests, grpcClientErrors
	case m.request.family == dbClient && m.request.failed && isRedisTimeout(s):
		m.indicators[redisTimeouts] += count
	}
	if requests >= 0 {
		m.indicators[requests] += count
		if m.request.failed {
			m.indicators[errors] += count
		}
	}
}

// find returns the series of the request at hand. It makes one if the limit allows, and
// otherwise returns the family's series for everything else.
func (m *Metrics) find() *series {
	r := &m.request
	m.key = append(m.key[:0], byte(r.family))
	for _, value := range r.labels[:len(families[r.family].labels)] {
		m.key = append(append(m.key, value...), labelEnd)
	}
	if s, ok := m.byKey[string(m.key)]; ok {
		m.spans[counted]++
		return s
	}
	if len(m.byKey) < m.config.SeriesLimit {
		m.spans[counted]++
		s := newSeries(r.family, labelText(families[r.family].labels, r.labels[:]))
		m.byKey[string(m.key)] = s
		m.series[r.family] = append(m.series[r.family], s)
		return s
	}
	m.spans[overflow]++
	if m.overflow[r.family] == nil {
		if len(m.byKey) > 0 && !slices.ContainsFunc(m.overflow[:], func(s *series) bool { return s != nil }) {
			m.log.Warn("more series than the limit allows; further ones are counted together", zap.Int("limit", m.config.SeriesLimit), zap.String("metric", families[r.family].name))
		}
		s := newSeries(r.family, []byte(overflowLabel+"="+`"true"`))
		m.overflow[r.family] = s
		m.series[r.family] = append(m.series[r.family], s)
	}
	return m.overflow[r.family]
}

// overflowLabel is otel.metric.overflow (OpenTelemetry specification, "Cardinality limits").
const overflowLabel = "otel_metric_overflow"

// labelEnd ends a value within a key: no UTF-8 has it.
const labelEnd = 0xff

// labelText returns the labels as they are written, without those that have no value.
func labelText(names []string, values [][]byte) (list []byte) {
	for i, name := range names {
		if len(values[i]) == 0 {
			continue
		}
		list = append(append(append(list, name...), '=', '"'), escaped(values[i])...)
		list = append(list, '"', ',')
	}
	return bytes.TrimSuffix(list, []byte(","))
}

// escaped returns a label's value as Prometheus reads it.
func escaped(value []byte) []byte {
	for _, e := range [...][2]string{{`\`, `\\`}, {"\n", `\n`}, {`"`, `\"`}} {
		value = bytes.ReplaceAll(value, []byte(e[0]), []byte(e[1]))
	}
	return value
}
