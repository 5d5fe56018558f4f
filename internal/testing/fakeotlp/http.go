package fakeotlp

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

func (r *Receiver) newHTTP() *http.Server {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /v1/{signal}", r.post)
	routes.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		r.problem("%s %s is no OTLP", q.Method, q.URL.Path)
		w.WriteHeader(http.StatusNotFound)
	})
	return &http.Server{Handler: routes, TLSConfig: r.options.TLS}
}

func (r *Receiver) post(w http.ResponseWriter, q *http.Request) {
	r.sawHeaders(q.Header)
	wire, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender is gone
	}
	body, err := r.check(q, wire)
	if err != nil {
		r.problem("%s: %v", q.URL.Path, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	decoded, partial, err := decode(q.PathValue("signal"), body)
	if err != nil {
		r.problem("%s: %v", q.URL.Path, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.options.AWS != nil {
		r.options.AWS.limits(r, q.Header, decoded, body)
	}
	f := r.next()
	if !wait(q.Context(), f.Delay) {
		return
	}
	if f.Reset {
		r.listeners[1].reset()
		return
	}
	if f.Refuse != None {
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
		}
		w.WriteHeader(map[Refusal]int{Busy: http.StatusServiceUnavailable, Limited: http.StatusTooManyRequests, Wrong: http.StatusBadRequest}[f.Refuse])
		return
	}
	r.take(decoded, f.Reject)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(partial(f.Reject))
}

// check checks what OTLP/HTTP requires, and the signature where AWS does.
func (r *Receiver) check(q *http.Request, wire []byte) (body []byte, err error) {
	if q.ProtoMajor != 1 {
		return nil, fmt.Errorf("%s, want HTTP/1.1", q.Proto)
	}
	if kind := q.Header.Get("Content-Type"); kind != "application/x-protobuf" {
		return nil, fmt.Errorf("content type %q", kind)
	}
	if r.options.AWS != nil {
		if err := r.options.AWS.verify(q, wire); err != nil {
			return nil, err
		}
	}
	switch encoding := q.Header.Get("Content-Encoding"); encoding {
	case "":
		return wire, nil
	case "gzip":
		unzip, err := gzip.NewReader(bytes.NewReader(wire))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(unzip)
	default:
		return nil, fmt.Errorf("content encoding %q", encoding)
	}
}

// decode returns the request, and a function that makes the answer for rejected items.
func decode(signal string, body []byte) (q request, partial func(int) []byte, err error) {
	switch signal {
	case "traces":
		in := ptraceotlp.NewExportRequest()
		err = in.UnmarshalProto(body)
		return ofTraces(in.Traces()), func(n int) []byte {
			out := ptraceotlp.NewExportResponse()
			out.PartialSuccess().SetRejectedSpans(int64(n))
			answer, _ := out.MarshalProto()
			return answer
		}, err
	case "metrics":
		in := pmetricotlp.NewExportRequest()
		err = in.UnmarshalProto(body)
		return ofMetrics(in.Metrics()), func(n int) []byte {
			out := pmetricotlp.NewExportResponse()
			out.PartialSuccess().SetRejectedDataPoints(int64(n))
			answer, _ := out.MarshalProto()
			return answer
		}, err
	case "logs":
		in := plogotlp.NewExportRequest()
		err = in.UnmarshalProto(body)
		return ofLogs(in.Logs()), func(n int) []byte {
			out := plogotlp.NewExportResponse()
			out.PartialSuccess().SetRejectedLogRecords(int64(n))
			answer, _ := out.MarshalProto()
			return answer
		}, err
	}
	return q, nil, fmt.Errorf("no signal %q", signal)
}
