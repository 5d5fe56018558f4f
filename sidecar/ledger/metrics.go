package ledger

import (
	"fmt"
	"io"
	"sync/atomic"
)

// WriteMetrics writes the counts in Prometheus' text format. Every series exists from
// the start, at zero, so that its first increase is seen.
func (l *Ledger) WriteMetrics(w io.Writer) {
	family(w, "accepted_total", "counter", "Items accepted from the application.")
	l.each(w, "accepted_total", func(a *Counters) *atomic.Int64 { return &a.accepted })
	family(w, "exported_total", "counter", "Items acknowledged by the backend.")
	l.each(w, "exported_total", func(a *Counters) *atomic.Int64 { return &a.exported })
	family(w, "accepted_bytes_total", "counter", "Bytes of accepted requests, as OTLP without compression.")
	l.each(w, "accepted_bytes_total", func(a *Counters) *atomic.Int64 { return &a.acceptedBytes })
	family(w, "exported_bytes_total", "counter", "Bytes of requests that the backend took, as OTLP before compression.")
	l.each(w, "exported_bytes_total", func(a *Counters) *atomic.Int64 { return &a.exportedBytes })
	family(w, "retries_total", "counter", "Requests to the backend that repeated an earlier one.")
	l.each(w, "retries_total", func(a *Counters) *atomic.Int64 { return &a.retries })
	family(w, "queue_bytes", "gauge", "Bytes in the queue.")
	l.each(w, "queue_bytes", func(a *Counters) *atomic.Int64 { return &a.queueBytes })
	family(w, "queue_limit_bytes", "gauge", "Bytes that the queue may hold.")
	l.each(w, "queue_limit_bytes", func(a *Counters) *atomic.Int64 { return &a.queueLimit })

	family(w, "refused_total", "counter", "Items that were not accepted; their sender got an error.")
	for r := range refusals {
		l.reason(w, "refused_total", r.String(), func(a *Counters) *atomic.Int64 { return &a.refused[r] })
	}
	family(w, "refused_requests_total", "counter", "Requests that were not accepted and whose items are unknown.")
	for r := range badRequests {
		l.reason(w, "refused_requests_total", r.String(), func(a *Counters) *atomic.Int64 { return &a.requests[r] })
	}
	family(w, "dropped_total", "counter", "Accepted items that will not reach the backend.")
	for r := range reasons {
		l.reason(w, "dropped_total", r.String(), func(a *Counters) *atomic.Int64 { return &a.dropped[r] })
	}
	if rules := l.counters[0].rules; len(rules) > 0 {
		l.writeRedacted(w, rules)
	}
}

func (l *Ledger) writeRedacted(w io.Writer, rules []string) {
	family(w, "redacted_total", "counter", "Redactions in accepted items, by rule.")
	for i, rule := range rules {
		for _, s := range Signals {
			fmt.Fprintf(w, "%sredacted_total{signal=%q,rule=%q} %d\n", prefix, s, rule, l.Counters(s).redacted[i].Load())
		}
	}
}

const prefix = "novawire_sidecar_"

func family(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s%s %s\n# TYPE %[1]s%[2]s %[4]s\n", prefix, name, help, kind)
}

func (l *Ledger) each(w io.Writer, name string, of func(*Counters) *atomic.Int64) {
	for _, s := range Signals {
		fmt.Fprintf(w, "%s%s{signal=%q} %d\n", prefix, name, s, of(l.Counters(s)).Load())
	}
}

func (l *Ledger) reason(w io.Writer, name, reason string, of func(*Counters) *atomic.Int64) {
	for _, s := range Signals {
		fmt.Fprintf(w, "%s%s{signal=%q,reason=%q} %d\n", prefix, name, s, reason, of(l.Counters(s)).Load())
	}
}
