package ledger

import (
	"fmt"
	"io"
	"sync/atomic"
)

// WriteMetrics writes the accounts in Prometheus' text format. Every series is
// there from the start, at zero, so that its first increase is seen.
func (l *Ledger) WriteMetrics(w io.Writer) {
	family(w, "accepted_total", "counter", "Items taken from the application.")
	l.each(w, "accepted_total", func(a *Account) *atomic.Int64 { return &a.accepted })
	family(w, "exported_total", "counter", "Items acknowledged by the backend.")
	l.each(w, "exported_total", func(a *Account) *atomic.Int64 { return &a.exported })
	family(w, "retries_total", "counter", "Requests to the backend that repeated another.")
	l.each(w, "retries_total", func(a *Account) *atomic.Int64 { return &a.retries })
	family(w, "queue_bytes", "gauge", "Bytes that wait for the backend.")
	l.each(w, "queue_bytes", func(a *Account) *atomic.Int64 { return &a.queueBytes })
	family(w, "queue_limit_bytes", "gauge", "Bytes that may wait for the backend.")
	l.each(w, "queue_limit_bytes", func(a *Account) *atomic.Int64 { return &a.queueLimit })

	family(w, "refused_total", "counter", "Items not taken; their sender was told.")
	for r := range refusals {
		l.reason(w, "refused_total", r.String(), func(a *Account) *atomic.Int64 { return &a.refused[r] })
	}
	family(w, "refused_requests_total", "counter", "Requests not taken, of items that could not be counted.")
	for r := range badRequests {
		l.reason(w, "refused_requests_total", r.String(), func(a *Account) *atomic.Int64 { return &a.requests[r] })
	}
	family(w, "dropped_total", "counter", "Items that were accepted and will not reach the backend.")
	for r := range reasons {
		l.reason(w, "dropped_total", r.String(), func(a *Account) *atomic.Int64 { return &a.dropped[r] })
	}
}

const prefix = "novawire_sidecar_"

func family(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s%s %s\n# TYPE %[1]s%[2]s %[4]s\n", prefix, name, help, kind)
}

func (l *Ledger) each(w io.Writer, name string, of func(*Account) *atomic.Int64) {
	for _, s := range Signals {
		fmt.Fprintf(w, "%s%s{signal=%q} %d\n", prefix, name, s, of(l.Of(s)).Load())
	}
}

func (l *Ledger) reason(w io.Writer, name, reason string, of func(*Account) *atomic.Int64) {
	for _, s := range Signals {
		fmt.Fprintf(w, "%s%s{signal=%q,reason=%q} %d\n", prefix, name, s, reason, of(l.Of(s)).Load())
	}
}
