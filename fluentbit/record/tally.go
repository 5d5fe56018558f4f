package record

import (
	"bytes"
	"strconv"
)

// Tally is what one event counts for. Alarms watch these counts.
type Tally struct {
	HTTPServerErrors, GRPCClientErrors, RedisTimeouts, ErrorLines uint32
}

// The names of the counts, which the services' own counters use too.
const (
	HTTPServerErrors = "http_server_errors_total"
	GRPCClientErrors = "grpc_client_errors_total"
	RedisTimeouts    = "redis_timeout_total"
	ErrorLines       = "error_lines_total"
)

// Add adds another tally.
func (t *Tally) Add(o Tally) {
	t.HTTPServerErrors += o.HTTPServerErrors
	t.GRPCClientErrors += o.GRPCClientErrors
	t.RedisTimeouts += o.RedisTimeouts
	t.ErrorLines += o.ErrorLines
}

// countField counts a field of the event. A field with the name of a counter,
// also with the prefix of tracing-opentelemetry's metrics layer, adds its number;
// a status code says that the event is an error.
func (f *lineFields) countField(key, value []byte) {
	switch name := counter(key); string(name) {
	case HTTPServerErrors:
		f.tally.HTTPServerErrors = parseCount(value)
	case GRPCClientErrors:
		f.tally.GRPCClientErrors = parseCount(value)
	case RedisTimeouts:
		f.tally.RedisTimeouts = parseCount(value)
	case "http.response.status_code", "http.status_code", "status_code", "status":
		if status := parseCount(unquoted(value)); status >= 500 && status <= 599 && f.tally.HTTPServerErrors == 0 {
			f.tally.HTTPServerErrors = 1
		}
	case "rpc.grpc.status_code", "grpc.status_code", "grpc.code", "grpc_code", "grpc_status":
		v := unquoted(value)
		f.grpc = len(v) > 0 && string(v) != "0" && !bytes.EqualFold(v, []byte("ok"))
	}
}

// counter returns a key without the prefix of the metrics layer.
func counter(key []byte) []byte {
	if name, ok := bytes.CutPrefix(key, []byte("monotonic_counter.")); ok {
		return name
	}
	name, _ := bytes.CutPrefix(key, []byte("counter."))
	return name
}

func parseCount(value []byte) uint32 {
	if len(value) > 10 {
		return 0
	}
	n, err := strconv.ParseUint(string(value), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// tallyOf adds what the line as a whole says.
func (f *lineFields) tallyOf(line []byte) Tally {
	t := f.tally
	isError := string(f.level) == "ERROR"
	if isError {
		t.ErrorLines = 1
	}
	if !isError && string(f.level) != "WARN" {
		return t
	}
	if f.grpc && !f.isServer && t.GRPCClientErrors == 0 {
		t.GRPCClientErrors = 1
	}
	if t.RedisTimeouts == 0 && mentions(line, "redis") && (mentions(line, "timed out") || mentions(line, "timeout")) {
		t.RedisTimeouts = 1
	}
	return t
}

// mentions reports whether the line contains a word, which is given in lower
// case.
func mentions(line []byte, word string) bool {
	first := word[0]
	for i := 0; i+len(word) <= len(line); i++ {
		if line[i]|0x20 == first && bytes.EqualFold(line[i:i+len(word)], []byte(word)) {
			return true
		}
	}
	return false
}

// textTally counts a line that is not JSON. A panic of Rust is an error; nothing
// else can be derived from it.
func textTally(line []byte) (t Tally) {
	if bytes.HasPrefix(line, []byte("thread '")) && bytes.Contains(line, []byte("panicked at")) {
		t.ErrorLines = 1
	}
	return t
}
