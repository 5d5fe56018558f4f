package fluentbit

import (
	"fmt"
	"io"
	"strconv"

	"github.com/nova/novawire/fluentbit/delivery"
)

// WriteMetrics writes the metrics of outputs in the Prometheus text format 0.0.4.
// Every series exists from the start.
func WriteMetrics(w io.Writer, outputs []*Output) {
	p := metricsWriter{w}
	for _, f := range families {
		p.family(f.name, f.kind, f.help)
		for _, o := range outputs {
			f.series(o, func(labels string, value float64) { p.series(f.name, o.config.ID, labels, value) })
		}
	}
}

type family struct {
	name, kind, help string
	series           func(o *Output, show func(labels string, value float64))
}

var families = []family{
	{"novawire_logs_accepted_total", "counter", "Events seen for the first time.", byClass(func(a *delivery.Counters) int64 { return a.Accepted.Load() })},
	{"novawire_logs_delivered_total", "counter", "Events stored.", byClass(func(a *delivery.Counters) int64 { return a.Delivered.Load() })},
	{"novawire_logs_rejected_total", "counter", "Events that will not be stored, by reason.", rejectedByReason},
	{"novawire_logs_retried_total", "counter", "Events in failed requests, counted for each request.", byClass(func(a *delivery.Counters) int64 { return a.Retried.Load() })},
	{"novawire_logs_resumed_total", "counter", "Events of retried chunks that were settled before.", byClass(func(a *delivery.Counters) int64 { return a.Resumed.Load() })},
	{"novawire_logs_resent_total", "counter", "Events sent again after a response was lost. Only these can be stored twice.", byClass(func(a *delivery.Counters) int64 { return a.Resent.Load() })},
	{"novawire_logs_redacted_total", "counter", "Redactions in accepted events, by rule.", redactedByRule},
	{"novawire_logs_chunks_total", "counter", "Chunks that Fluent Bit flushed.", single(func(o *Output) float64 { return float64(o.chunks.Load()) })},
	{"novawire_logs_chunks_retried_total", "counter", "Chunks that Fluent Bit was asked to retry.", single(func(o *Output) float64 { return float64(o.retriedChunks.Load()) })},
	{"novawire_logs_undecodable_bytes_total", "counter", "Bytes of chunks that are not records, stored as base64.", single(func(o *Output) float64 { return float64(o.undecodable.Load()) })},
	{"novawire_logs_panics_total", "counter", "Panics that were recovered.", single(func(o *Output) float64 { return float64(o.panics.Load()) })},
	{"novawire_logs_requests_total", "counter", "PutLogEvents requests.", single(func(o *Output) float64 { return float64(o.sender.Ledger.Requests.Load()) })},
	{"novawire_logs_throttled_total", "counter", "Requests that the service throttled.", single(func(o *Output) float64 { return float64(o.sender.Ledger.Throttled.Load()) })},
	{"novawire_logs_created_total", "counter", "Log groups and streams created.", single(func(o *Output) float64 { return float64(o.sender.Ledger.Created.Load()) })},
	{"novawire_logs_request_rate_limit", "gauge", "Current limit of requests a second to the account.", single(func(o *Output) float64 { return o.settings.Limiter.Rate() })},
	{"novawire_logs_input_lag_seconds", "gauge", "Age of the newest event of the last new chunk when it was flushed: how far reading is behind. 0 a minute after it.", single(func(o *Output) float64 { return o.inputLag().Seconds() })},
	{"novawire_logs_failing_seconds", "gauge", "Time since requests have been failing without a success; 0 after a success.", single(func(o *Output) float64 { return o.sender.Ledger.Failing(o.settings.Clock.Now()).Seconds() })},
	{"novawire_logs_lag_seconds", "gauge", "Age of the oldest event in the last successful request.", single(func(o *Output) float64 { return o.sender.Ledger.Lag().Seconds() })},
}

func byClass(value func(*delivery.Counters) int64) func(*Output, func(string, float64)) {
	return func(o *Output, show func(string, float64)) {
		for _, c := range delivery.Classes() {
			show(fmt.Sprintf(",class=%q", c), float64(value(o.sender.Ledger.Class(c))))
		}
	}
}

func rejectedByReason(o *Output, show func(string, float64)) {
	for _, c := range delivery.Classes() {
		for _, why := range delivery.Reasons() {
			show(fmt.Sprintf(",class=%q,reason=%q", c, why), float64(o.sender.Ledger.Class(c).Rejected(why)))
		}
	}
}

func redactedByRule(o *Output, show func(string, float64)) {
	ofPods := o.pods.Redacted()
	for i, rule := range o.redact.Names() {
		show(fmt.Sprintf(",rule=%q", rule), float64(o.redacted[i].Load()+int64(ofPods[i])))
	}
}

func single(value func(*Output) float64) func(*Output, func(string, float64)) {
	return func(o *Output, show func(string, float64)) { show("", value(o)) }
}

// metricsWriter ignores write errors: the next scrape asks again.
type metricsWriter struct{ w io.Writer }

func (p metricsWriter) family(name, kind, help string) {
	fmt.Fprintf(p.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (p metricsWriter) series(name, output, labels string, value float64) {
	fmt.Fprintf(p.w, "%s{output=%q%s} %s\n", name, output, labels, strconv.FormatFloat(value, 'g', -1, 64))
}
