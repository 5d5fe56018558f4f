package spanmetrics

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/nova/novawire/sidecar/wire"
)

// Places of the attributes that the conventions of today and earlier ones name.
const (
	method = iota
	oldMethod
	scheme
	oldScheme
	route
	status
	oldStatus
	rpcSystem
	oldRPCSystem
	rpcService
	rpcMethod
	rpcStatus
	oldRPCStatus
	dbSystem
	oldDBSystem
	dbOperation
	oldDBOperation
	errorType
	attributeCount
)

// attributePlace knows the attributes of the semantic conventions 1.45, and those that they
// replaced.
func attributePlace(key []byte) int {
	switch string(key) {
	case "http.request.method":
		return method
	case "http.method":
		return oldMethod
	case "url.scheme":
		return scheme
	case "http.scheme":
		return oldScheme
	case "http.route":
		return route
	case "http.response.status_code":
		return status
	case "http.status_code":
		return oldStatus
	case "rpc.system.name":
		return rpcSystem
	case "rpc.system":
		return oldRPCSystem
	case "rpc.service":
		return rpcService
	case "rpc.method":
		return rpcMethod
	case "rpc.response.status_code":
		return rpcStatus
	case "rpc.grpc.status_code":
		return oldRPCStatus
	case "db.system.name":
		return dbSystem
	case "db.system":
		return oldDBSystem
	case "db.operation.name":
		return dbOperation
	case "db.operation":
		return oldDBOperation
	case "error.type":
		return errorType
	}
	return -1
}

// Places of the attributes of resources.
const (
	serviceName = iota
	podUID
	podName
	resourceCount
)

func resourcePlace(key []byte) int {
	switch string(key) {
	case "service.name":
		return serviceName
	case "k8s.pod.uid":
		return podUID
	case "k8s.pod.name":
		return podName
	}
	return -1
}

// SpanKind of opentelemetry-proto.
const (
	kindServer = 2
	kindClient = 3
)

// request is what a span says of the request that it stands for.
type request struct {
	family int
	labels [maxLabels][]byte // values in the order of the family's labels, nil for none
	failed bool
	digits [8]byte // of a status code
	joined []byte  // a service and its method
}

// read finds out which request a span stands for. It reports false for a span that is not
// one of a request that a family counts.
func (r *request) read(s *wire.Span) bool {
	r.labels, r.failed = [maxLabels][]byte{}, false
	r.labels[0] = text(s.Resource[serviceName])
	a := s.Attributes
	switch {
	case s.Kind != kindServer && s.Kind != kindClient:
		return false
	case either(a, rpcSystem, oldRPCSystem) != nil:
		r.readRPC(s)
	case s.Kind == kindClient && either(a, dbSystem, oldDBSystem) != nil:
		r.readDB(s)
	case either(a, method, oldMethod) != nil:
		r.readHTTP(s)
	default:
		return false
	}
	return true
}

// readHTTP applies the HTTP conventions: a server's answer is an error from 500 on, a
// client's from 400 on.
func (r *request) readHTTP(s *wire.Span) {
	a := s.Attributes
	code, ok := integer(a[status])
	if !ok {
		code, ok = integer(a[oldStatus])
	}
	valid := ok && code >= 100 && code <= 599
	errorFrom := int64(500)
	if s.Kind == kindClient {
		errorFrom = 400
	}
	switch {
	case valid && code >= 400:
		r.failed = code >= errorFrom
	default:
		r.failed = s.Failed || a[errorType].Kind != wire.Missing
	}
	var codeText []byte
	if valid {
		codeText = strconv.AppendInt(r.digits[:0], code, 10)
	}
	verb := knownMethod(either(a, method, oldMethod))
	why := r.errorType(a, codeText, valid && code >= 400)
	if s.Kind == kindClient {
		r.family = httpClient
		r.labels[1], r.labels[2], r.labels[3] = verb, codeText, why
		return
	}
	r.family = httpServer
	r.labels[1], r.labels[2], r.labels[3], r.labels[4], r.labels[5] = verb, either(a, scheme, oldScheme), text(a[route]), codeText, why
}

// readRPC applies the RPC conventions. Each status but OK is an error of a client; of a
// server, those that say that the server is at fault.
func (r *request) readRPC(s *wire.Span) {
	a := s.Attributes
	code := text(a[rpcStatus])
	if n, ok := integer(a[oldRPCStatus]); ok && code == nil && n >= 0 && n < int64(len(grpcCodes)) {
		code = grpcCodes[n]
	}
	wrong := len(code) > 0 && !isOK(code)
	r.family = rpcServer
	if s.Kind == kindClient {
		r.family = rpcClient
	}
	switch {
	case wrong && s.Kind == kindServer && isGRPC(a):
		r.failed = isServerError(code)
	case wrong && s.Kind == kindClient:
		r.failed = true
	default:
		r.failed = s.Failed || a[errorType].Kind != wire.Missing
	}
	r.labels[1], r.labels[3], r.labels[4] = either(a, rpcSystem, oldRPCSystem), code, r.errorType(a, code, wrong)
	r.labels[2] = r.fullMethod(a)
}

// fullMethod returns the method with its service. Today rpc.method has both; before, they
// were two attributes.
func (r *request) fullMethod(a []wire.Value) []byte {
	service, name := text(a[rpcService]), text(a[rpcMethod])
	if service == nil || bytes.IndexByte(name, '/') >= 0 {
		return name
	}
	r.joined = append(append(append(r.joined[:0], service...), '/'), name...)
	return r.joined
}

func (r *request) readDB(s *wire.Span) {
	a := s.Attributes
	r.family = dbClient
	r.failed = s.Failed || a[errorType].Kind != wire.Missing
	r.labels[1], r.labels[2], r.labels[3] = either(a, dbSystem, oldDBSystem), either(a, dbOperation, oldDBOperation), r.errorType(a, nil, false)
}

var otherValue = []byte("_OTHER")

// errorType returns the value of error.type of a request that failed: the span's own, or
// the status code, or the conventions' value for what is not known.
func (r *request) errorType(a []wire.Value, code []byte, fromCode bool) []byte {
	switch own := text(a[errorType]); {
	case !r.failed:
		return nil
	case len(own) > 0:
		return own
	case fromCode:
		return code
	}
	return otherValue
}

// knownMethod returns the method, or _OTHER for one that is not registered, as the HTTP
// conventions have it: the sender of a request may invent methods.
func knownMethod(verb []byte) []byte {
	switch string(verb) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return verb
	}
	return otherValue
}

func isGRPC(a []wire.Value) bool { return string(either(a, rpcSystem, oldRPCSystem)) == "grpc" }

// isRedisTimeout reports whether a span is one of a client of Redis whose error.type names a
// timeout: "timeout", or the type of an exception such as TimeoutError or TimedOut.
func isRedisTimeout(s *wire.Span) bool {
	if string(either(s.Attributes, dbSystem, oldDBSystem)) != "redis" {
		return false
	}
	why := bytes.ToLower(text(s.Attributes[errorType]))
	for _, word := range [...]string{"timeout", "timedout", "timed_out", "timed out"} {
		if bytes.Contains(why, []byte(word)) {
			return true
		}
	}
	return false
}

// grpcCodes are the names of gRPC's status codes, by number.
var grpcCodes = [...][]byte{
	[]byte("OK"), []byte("CANCELLED"), []byte("UNKNOWN"), []byte("INVALID_ARGUMENT"), []byte("DEADLINE_EXCEEDED"), []byte("NOT_FOUND"),
	[]byte("ALREADY_EXISTS"), []byte("PERMISSION_DENIED"), []byte("RESOURCE_EXHAUSTED"), []byte("FAILED_PRECONDITION"), []byte("ABORTED"),
	[]byte("OUT_OF_RANGE"), []byte("UNIMPLEMENTED"), []byte("INTERNAL"), []byte("UNAVAILABLE"), []byte("DATA_LOSS"), []byte("UNAUTHENTICATED"),
}

func isOK(code []byte) bool { return string(code) == "OK" || string(code) == "0" }

// isServerError reports whether a status is an error of a gRPC server (RPC conventions,
// "gRPC").
func isServerError(code []byte) bool {
	switch string(code) {
	case "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS":
		return true
	}
	return false
}

// either returns the text of the attribute of today, or that of the one it replaced.
func either(a []wire.Value, today, old int) []byte {
	if v := text(a[today]); v != nil {
		return v
	}
	return text(a[old])
}

// maxValue is how many bytes of a value become a label.
const maxValue = 128

// text returns a value that may be a label, or nil.
func text(v wire.Value) []byte {
	if v.Kind != wire.Text || len(v.Text) == 0 {
		return nil
	}
	if len(v.Text) <= maxValue {
		return v.Text
	}
	end := maxValue
	for end > 0 && !utf8.RuneStart(v.Text[end]) {
		end--
	}
	return v.Text[:end]
}

// integer returns the number of a value. Some instrumentations write it as a text.
func integer(v wire.Value) (n int64, ok bool) {
	if v.Kind == wire.Text {
		n, err := strconv.ParseInt(string(v.Text), 10, 64)
		return n, err == nil
	}
	return v.Number, v.Kind == wire.Integer
}
