package delivery

import (
	"sync/atomic"
	"time"
)

// Class is the kind of stream that an event goes to. Metrics have it as a label,
// because there are too many streams.
type Class uint8

// The classes.
const (
	Pods      Class = iota // lines of pods
	Node                   // lines that belong to no known pod
	Undecided              // lines of pods that are not known to be wired or not
	Metrics                // documents in the embedded metric format
	classCount
)

func (c Class) String() string { return [...]string{"pods", "node", "undecided", "metrics"}[c] }

// Reason is why an event was not stored.
type Reason string

// The reasons. The service gives the first three for single events.
const (
	TooOld  Reason = "too_old" // more than 14 days
	Expired Reason = "expired" // older than the retention of its group
	TooNew  Reason = "too_new" // more than two hours in the future
	Invalid Reason = "invalid" // the service refuses it, even in a request of its own
	Dropped Reason = "dropped" // a document that could not be delivered for too long
)

// Reasons returns all reasons.
func Reasons() []Reason { return []Reason{TooOld, Expired, TooNew, Invalid, Dropped} }

// Counters count the events of a class. Accepted counts events that were seen for
// the first time; it is the sum of Delivered, Rejected and the events in chunks
// that will be retried.
type Counters struct {
	Accepted, Delivered atomic.Int64
	// Retried counts the events of failed requests, for each request.
	Retried atomic.Int64
	// Resumed counts the events of retried chunks that were settled before.
	Resumed atomic.Int64
	// Resent counts events that were sent again after a response was lost. Only
	// these can be stored twice.
	Resent atomic.Int64

	rejected [5]atomic.Int64
}

// Rejected returns the number of events that were not stored for a reason.
func (a *Counters) Rejected(why Reason) int64 { return a.rejected[reasonIndex(why)].Load() }

func (a *Counters) addRejected(why Reason) { a.rejected[reasonIndex(why)].Add(1) }

// AddDropped counts events that are given up.
func (a *Counters) AddDropped(n int) { a.rejected[reasonIndex(Dropped)].Add(int64(n)) }

func reasonIndex(why Reason) int {
	for i, r := range Reasons() {
		if r == why {
			return i
		}
	}
	panic("delivery: no such reason: " + string(why))
}

// Ledger holds the counters of a sender.
type Ledger struct {
	Requests, Throttled, Created atomic.Int64

	counters        [classCount]Counters
	lagMilliseconds atomic.Int64
	failingSince    atomic.Int64 // milliseconds since 1970; 0 after a success
}

// Class returns the counters of a class.
func (l *Ledger) Class(c Class) *Counters { return &l.counters[c] }

// Classes returns all classes.
func Classes() []Class { return []Class{Pods, Node, Undecided, Metrics} }

// Lag returns the age of the oldest event in the last successful request.
func (l *Ledger) Lag() time.Duration {
	return time.Duration(l.lagMilliseconds.Load()) * time.Millisecond
}

// Failing returns for how long no request has succeeded although requests were
// sent. It is 0 after a success.
func (l *Ledger) Failing(now time.Time) time.Duration {
	since := l.failingSince.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.UnixMilli(since))
}

func (l *Ledger) recordSuccess() { l.failingSince.Store(0) }

func (l *Ledger) recordFailure(now time.Time) { l.failingSince.CompareAndSwap(0, now.UnixMilli()) }

func (l *Ledger) recordLag(now time.Time, event int64) {
	l.lagMilliseconds.Store(max(0, now.UnixMilli()-event))
}
