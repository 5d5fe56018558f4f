package delivery

import (
	"sync/atomic"
	"time"
)

// Class says what kind of stream an event goes to. Streams are many; their
// classes are not.
type Class uint8

// The classes.
const (
	Pods    Class = iota // lines of pods
	Node                 // lines that no pod is known of
	Metrics              // documents of the embedded metric format
	classCount
)

func (c Class) String() string { return [...]string{"pods", "node", "metrics"}[c] }

// Reason is why an event was not stored.
type Reason string

// The reasons. The first three are the service's, one by one.
const (
	TooOld  Reason = "too_old" // more than 14 days
	Expired Reason = "expired" // older than its group keeps events
	TooNew  Reason = "too_new" // more than two hours ahead
	Invalid Reason = "invalid" // the service would not take it, by itself either
	Dropped Reason = "dropped" // a count that could not be delivered for too long
)

// Reasons lists them.
func Reasons() []Reason { return []Reason{TooOld, Expired, TooNew, Invalid, Dropped} }

// Counters is what became of the events of a class. Accepted is what was seen
// for the first time; it is the sum of Delivered, Rejected and what is still in
// chunks that will come again.
type Counters struct {
	Accepted, Delivered atomic.Int64
	// Retried counts events in requests that did not come about, each time.
	Retried atomic.Int64
	// Resumed counts events of a chunk that came again which needed no more.
	Resumed atomic.Int64
	// Resent counts events that were sent again after an answer was lost: they
	// may be stored twice. No other event can be.
	Resent atomic.Int64

	rejected [5]atomic.Int64
}

// Rejected is how many were for a reason.
func (a *Counters) Rejected(why Reason) int64 { return a.rejected[reasonIndex(why)].Load() }

func (a *Counters) addRejected(why Reason) { a.rejected[reasonIndex(why)].Add(1) }

// AddDropped books events that are given up.
func (a *Counters) AddDropped(n int) { a.rejected[reasonIndex(Dropped)].Add(int64(n)) }

func reasonIndex(why Reason) int {
	for i, r := range Reasons() {
		if r == why {
			return i
		}
	}
	panic("delivery: no such reason: " + string(why))
}

// Ledger is the account of a sender.
type Ledger struct {
	Requests, Throttled, Created atomic.Int64

	counters        [classCount]Counters
	lagMilliseconds atomic.Int64 // milliseconds
}

// Class is the account of a class.
func (l *Ledger) Class(c Class) *Counters { return &l.counters[c] }

// Classes lists them.
func Classes() []Class { return []Class{Pods, Node, Metrics} }

// Lag is how old the oldest event of the last request was when it was stored.
func (l *Ledger) Lag() time.Duration {
	return time.Duration(l.lagMilliseconds.Load()) * time.Millisecond
}

func (l *Ledger) recordLag(now time.Time, event int64) {
	l.lagMilliseconds.Store(max(0, now.UnixMilli()-event))
}
