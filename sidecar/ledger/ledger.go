// Package ledger counts what happens to telemetry inside the sidecar, per
// signal, so that at the end nothing is missing:
//
//	accepted = exported + dropped (by reason) + stored
//
// An item is a span, a metric data point or a log record. The package counts
// and prints; it decides nothing.
package ledger

import "sync/atomic"

// Signal is a kind of telemetry.
type Signal int

// The signals that the sidecar carries.
const (
	Traces Signal = iota
	Metrics
	Logs
	signals
)

// Signals lists them all.
var Signals = [signals]Signal{Traces, Metrics, Logs}

func (s Signal) String() string { return [signals]string{"traces", "metrics", "logs"}[s] }

// Refusal says why items were not accepted; their sender was told.
type Refusal int

// Why items are refused.
const (
	Memory  Refusal = iota // the memory limiter refuses until memory is freed
	Failure                // the pipeline could not take them
	refusals
)

func (r Refusal) String() string { return [refusals]string{"memory", "failure"}[r] }

// BadRequest says why a request was refused whose items nobody could count.
type BadRequest int

// Why requests are refused.
const (
	Malformed BadRequest = iota // neither OTLP protobuf nor OTLP JSON
	TooBig                      // beyond the limit of a request
	badRequests
)

func (r BadRequest) String() string { return [badRequests]string{"malformed", "too_big"}[r] }

// Reason says why accepted items were dropped.
type Reason int

// Why items are dropped.
const (
	QueueFull  Reason = iota // the oldest made room for the newest
	RetryLimit               // tried for as long as a batch may be
	Rejected                 // the backend will not have them
	Oversize                 // one item beyond what the backend takes
	NoBackend                // nothing is configured that takes this signal
	Shutdown                 // still queued when the drain had to end
	reasons
)

func (r Reason) String() string {
	return [reasons]string{"queue_full", "retry_limit", "rejected", "oversize", "no_backend", "shutdown"}[r]
}

// Account is the counters of one signal. Its methods may be called at once.
type Account struct {
	accepted, exported, stored atomic.Int64
	retries                    atomic.Int64 // requests that were repeated
	refused                    [refusals]atomic.Int64
	requests                   [badRequests]atomic.Int64
	dropped                    [reasons]atomic.Int64

	queueBytes, queueLimit atomic.Int64
}

// Ledger is the accounts of all signals.
type Ledger struct{ accounts [signals]Account }

// Of returns the account of a signal.
func (l *Ledger) Of(s Signal) *Account { return &l.accounts[s] }

// Activity grows with whatever happens; that it does not says that nothing does.
func (l *Ledger) Activity() (all int64) {
	for _, s := range Signals {
		a := l.Of(s)
		all += a.accepted.Load() + a.exported.Load() + a.retries.Load()
	}
	return all
}

// Accept counts items whose sender was told that they are taken.
func (a *Account) Accept(items int) { a.accepted.Add(int64(items)) }

// Refuse counts items whose sender was told that they are not taken.
func (a *Account) Refuse(why Refusal, items int) { a.refused[why].Add(int64(items)) }

// RefuseRequest counts a request without knowing its items.
func (a *Account) RefuseRequest(why BadRequest) { a.requests[why].Add(1) }

// Export counts items that the backend has acknowledged.
func (a *Account) Export(items int) { a.exported.Add(int64(items)) }

// Drop counts items that will never reach the backend.
func (a *Account) Drop(why Reason, items int) { a.dropped[why].Add(int64(items)) }

// Retry counts a request to the backend that repeats another.
func (a *Account) Retry() { a.retries.Add(1) }

// Queue tells what waits now, of what may; for metrics, not for the balance.
func (a *Account) Queue(bytes, limit int64) {
	a.queueBytes.Store(bytes)
	a.queueLimit.Store(limit)
}

// Store says how many items are left on disk for the next start.
func (a *Account) Store(items int) { a.stored.Store(int64(items)) }

// Restore continues the account of an earlier run, as its storage tells it.
func (a *Account) Restore(t Totals) {
	a.accepted.Add(t.Accepted)
	a.exported.Add(t.Exported)
	for r, n := range t.Dropped {
		a.dropped[r].Add(n)
	}
}

// Totals is the part of an account that outlives the process with its storage.
type Totals struct {
	Accepted, Exported int64
	Dropped            [reasons]int64
}
