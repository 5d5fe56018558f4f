// Package ledger counts what happens to telemetry in the sidecar, per signal, so that
// every accepted item has an outcome when the sidecar ends:
//
//	accepted = exported + dropped (by reason) + stored
//
// An item is a span, a metric data point or a log record. The package counts and
// prints; it decides nothing.
package ledger

import (
	"sync/atomic"

	"github.com/nova/novawire/api/redaction"
)

// Signal is a kind of telemetry.
type Signal int

// The signals that the sidecar carries.
const (
	Traces Signal = iota
	Metrics
	Logs
	signals
)

// Signals lists the signals.
var Signals = [signals]Signal{Traces, Metrics, Logs}

func (s Signal) String() string { return [signals]string{"traces", "metrics", "logs"}[s] }

// Refusal says why items were not accepted. Their sender got an error.
type Refusal int

// Why items are refused.
const (
	Memory   Refusal = iota // the memory limiter refuses until memory is freed
	Failure                 // the pipeline could not take them
	TooLarge                // one item is larger than the backend takes
	refusals
)

func (r Refusal) String() string { return [refusals]string{"memory", "failure", "oversize"}[r] }

// BadRequest says why a request was refused before its items could be counted.
type BadRequest int

// Why requests are refused.
const (
	Malformed   BadRequest = iota // neither OTLP protobuf nor OTLP JSON, or nested too deep
	TooBig                        // beyond the limit of a request
	Unsupported                   // a content type or a compression that the sidecar does not read
	Incomplete                    // the body ended early, or did not end in time
	Busy                          // no memory was free for its body in time
	badRequests
)

func (r BadRequest) String() string {
	return [badRequests]string{"malformed", "too_big", "unsupported", "incomplete", "busy"}[r]
}

// Reason says why accepted items were dropped.
type Reason int

// Why items are dropped.
const (
	QueueFull  Reason = iota // the oldest items made room for the newest
	RetryLimit               // the batch was tried for as long as the retry limit allows
	Rejected                 // the backend rejected them
	Oversize                 // one item is larger than the backend takes
	NoBackend                // no backend is configured for the signal
	Shutdown                 // still queued at the end of the drain
	reasons
)

func (r Reason) String() string {
	return [reasons]string{"queue_full", "retry_limit", "rejected", "oversize", "no_backend", "shutdown"}[r]
}

// Counters is the counters of one signal. Its methods are safe for concurrent use.
type Counters struct {
	accepted, exported, stored   atomic.Int64
	acceptedBytes, exportedBytes atomic.Int64
	retries                      atomic.Int64 // requests that were repeated
	refused                      [refusals]atomic.Int64
	requests                     [badRequests]atomic.Int64
	dropped                      [reasons]atomic.Int64
	restored                     atomic.Pointer[Totals] // nil: nothing was
	redacted                     [redaction.MaxNames]atomic.Int64
	rules                        []string // of redaction

	queueBytes, queueLimit atomic.Int64

	ledger *Ledger // nil: it is kept in no file
}

// Ledger holds the counters of all signals.
type Ledger struct {
	counters [signals]Counters
	mirror   *mirror // nil: it is kept in no file
}

// SetRules names the rules of redaction. It must be called before anything is counted.
func (l *Ledger) SetRules(names []string) {
	for _, s := range Signals {
		l.Counters(s).rules = names
	}
}

// Counters returns the counters of a signal.
func (l *Ledger) Counters(s Signal) *Counters { return &l.counters[s] }

// Activity returns a number that grows with every accepted, exported or retried item.
func (l *Ledger) Activity() (all int64) {
	for _, s := range Signals {
		c := l.Counters(s)
		all += c.accepted.Load() + c.exported.Load() + c.retries.Load()
	}
	return all
}

// Accept counts items that were accepted, in a request of so many bytes.
func (c *Counters) Accept(items, bytes int) {
	c.acceptedBytes.Add(int64(bytes))
	c.accepted.Add(int64(items))
	c.changed()
}

// Redact counts how often each rule has redacted in items that are accepted next.
func (c *Counters) Redact(counts [redaction.MaxNames]int) {
	for rule, n := range counts {
		if n > 0 {
			c.redacted[rule].Add(int64(n))
		}
	}
}

// Refuse counts items that were not accepted.
func (c *Counters) Refuse(why Refusal, items int) {
	c.refused[why].Add(int64(items))
	c.changed()
}

// RefuseRequest counts a request whose items are unknown.
func (c *Counters) RefuseRequest(why BadRequest) {
	c.requests[why].Add(1)
	c.changed()
}

// ExportBytes counts the bytes of a request that the backend has taken.
func (c *Counters) ExportBytes(bytes int) { c.exportedBytes.Add(int64(bytes)) }

// Settle counts what became of items: those that the backend has acknowledged, and those
// that will never reach it.
func (c *Counters) Settle(exported int64, dropped [reasons]int64) {
	c.exported.Add(exported)
	for why, n := range dropped {
		c.dropped[why].Add(n)
	}
	c.changed()
}

// Export counts items that the backend has acknowledged.
func (c *Counters) Export(items int) { c.Settle(int64(items), [reasons]int64{}) }

// Drop counts items that will never reach the backend.
func (c *Counters) Drop(why Reason, items int) {
	c.dropped[why].Add(int64(items))
	c.changed()
}

// Retry counts a request to the backend that repeats an earlier one.
func (c *Counters) Retry() { c.retries.Add(1) }

// SetQueue sets how many bytes are queued, and how many may be.
func (c *Counters) SetQueue(bytes, limit int64) {
	c.queueBytes.Store(bytes)
	c.queueLimit.Store(limit)
}

// Room returns how many bytes may be queued before the oldest are dropped.
func (c *Counters) Room() int64 { return c.queueLimit.Load() - c.queueBytes.Load() }

// QueueLimit returns how many bytes may be queued at all.
func (c *Counters) QueueLimit() int64 { return c.queueLimit.Load() }

// SetStored sets how many items are left in the storage for the next start.
func (c *Counters) SetStored(items int) { c.stored.Store(int64(items)) }

// Restore adds the totals of earlier runs, which their storage kept.
func (c *Counters) Restore(t Totals) {
	if t != (Totals{}) {
		c.restored.Store(&t)
	}
	c.accepted.Add(t.Accepted)
	c.Settle(t.Exported, t.Dropped)
}

// Totals is the part of the counters that outlives the process in its storage.
type Totals struct {
	Accepted, Exported int64
	Dropped            [reasons]int64
}
