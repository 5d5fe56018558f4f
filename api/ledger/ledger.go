// Package ledger is the contract of the accounts of telemetry: what a sidecar says about
// itself, and what the manager adds up of all sidecars.
package ledger

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nova/novawire/api/redaction"
)

// The signals, as the accounts name them.
const (
	Traces  = "traces"
	Metrics = "metrics"
	Logs    = "logs"
)

// Signals lists the signals.
func Signals() []string { return []string{Traces, Metrics, Logs} }

// Entry is the account of one signal. An item is a span, a data point or a log record.
type Entry struct {
	Accepted int64 `json:"accepted"`
	Exported int64 `json:"exported"`
	// Bytes of OTLP, uncompressed: of accepted requests, and of those that the backend took.
	AcceptedBytes   int64            `json:"accepted_bytes"`
	ExportedBytes   int64            `json:"exported_bytes"`
	Stored          int64            `json:"stored"` // left in the storage for the next start
	Refused         map[string]int64 `json:"refused,omitempty"`
	RefusedRequests map[string]int64 `json:"refused_requests,omitempty"`
	Dropped         map[string]int64 `json:"dropped,omitempty"`
	// Redacted counts redactions in accepted items, by rule. It is no part of the balance.
	Redacted map[string]int64 `json:"redacted,omitempty"`
	// Restored is the part of the account that the storage kept of earlier runs.
	Restored *Restored `json:"restored,omitempty"`
	// Unaccounted are items that were accepted and whose outcome nobody knows: those that a
	// sidecar held when it was killed. Only the manager sets it.
	Unaccounted int64 `json:"unaccounted,omitempty"`
}

// Restored is what outlives a sidecar in its storage.
type Restored struct {
	Accepted int64            `json:"accepted"`
	Exported int64            `json:"exported"`
	Dropped  map[string]int64 `json:"dropped,omitempty"`
}

// Balance returns how many items were accepted and have no outcome: those that a running
// sidecar holds, and zero once it has ended.
func (e Entry) Balance() int64 {
	return Add(Add(Add(Add(e.Accepted, -e.Exported), -e.Stored), -e.Unaccounted), -Sum(e.Dropped))
}

// Balance returns how many items the storage held.
func (r Restored) Balance() int64 { return Add(Add(r.Accepted, -r.Exported), -Sum(r.Dropped)) }

// Plus returns the sum of two accounts; Restored is that of neither.
func (e Entry) Plus(o Entry) Entry {
	e.Accepted = Add(e.Accepted, o.Accepted)
	e.Exported = Add(e.Exported, o.Exported)
	e.AcceptedBytes = Add(e.AcceptedBytes, o.AcceptedBytes)
	e.ExportedBytes = Add(e.ExportedBytes, o.ExportedBytes)
	e.Stored = Add(e.Stored, o.Stored)
	e.Unaccounted = Add(e.Unaccounted, o.Unaccounted)
	e.Refused = plus(e.Refused, o.Refused, 1)
	e.RefusedRequests = plus(e.RefusedRequests, o.RefusedRequests, 1)
	e.Dropped = plus(e.Dropped, o.Dropped, 1)
	e.Redacted = plus(e.Redacted, o.Redacted, 1)
	e.Restored = nil
	return e
}

// Add adds two numbers. A sum that is too large stays at the limit: many pods that lie do not
// make a total negative.
func Add(a, b int64) int64 {
	switch sum := a + b; {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return -math.MaxInt64
	default:
		return sum
	}
}

// Sum adds up numbers by reason.
func Sum(by map[string]int64) (all int64) {
	for _, n := range by {
		all = Add(all, n)
	}
	return all
}

// plus returns a + sign·b without zeros; nil if nothing is left.
func plus(a, b map[string]int64, sign int64) map[string]int64 {
	if len(b) == 0 {
		return a
	}
	sum := make(map[string]int64, len(a)+len(b))
	maps.Copy(sum, a)
	for reason, n := range b {
		if _, known := sum[reason]; !known && len(sum) >= maxReasons {
			reason = Other
		}
		sum[reason] = Add(sum[reason], sign*n)
	}
	maps.DeleteFunc(sum, func(_ string, n int64) bool { return n == 0 })
	if len(sum) == 0 {
		return nil
	}
	return sum
}

// Message is what a sidecar says about itself: the last line of its log, its termination
// message, and the answer at Path.
type Message struct {
	// Running reports that the account was not closed: the sidecar runs, or it was killed.
	Running bool             `json:"running,omitempty"`
	Pod     string           `json:"pod,omitempty"`     // UID; only at Path
	Started string           `json:"started,omitempty"` // of the process, RFC 3339; only at Path
	Ledger  map[string]Entry `json:"ledger"`            // by signal
}

// Path is where a sidecar serves its ledger, on its port of metrics. With the query Final it
// answers when the sidecar ends.
const (
	Path  = "/ledger"
	Final = "final"
)

// ParseMessage reads a message. Whoever may create a pod may write one: numbers that no
// sidecar counts, and names that no sidecar has, are refused, because they are added up.
func ParseMessage(text []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(text, &m); err != nil {
		return Message{}, fmt.Errorf("read ledger: %w", err)
	}
	if m.Ledger == nil {
		return Message{}, fmt.Errorf("read ledger: no member %q", "ledger")
	}
	for signal, e := range m.Ledger {
		if !slices.Contains(Signals(), signal) {
			return Message{}, fmt.Errorf("read ledger: %.20q: use %s", signal, strings.Join(Signals(), ", "))
		}
		if err := e.check(); err != nil {
			return Message{}, fmt.Errorf("read ledger of %s: %w", signal, err)
		}
		m.Ledger[signal] = e.known()
	}
	return m, nil
}

// Bounds of what one sidecar says. A pod that receives a billion items each second reaches
// the largest number after years.
const (
	maxNumber  = 1 << 56
	maxReasons = 32
	maxReason  = 64
)

func (e Entry) check() error {
	numbers := []int64{e.Accepted, e.Exported, e.AcceptedBytes, e.ExportedBytes, e.Stored, e.Unaccounted}
	reasons := []map[string]int64{e.Refused, e.RefusedRequests, e.Dropped, e.Redacted}
	if r := e.Restored; r != nil {
		// What was restored is part of the account.
		numbers = append(numbers, r.Accepted, r.Exported, e.Accepted-r.Accepted, e.Exported-r.Exported)
		for reason, n := range r.Dropped {
			numbers = append(numbers, e.Dropped[reason]-n)
		}
		reasons = append(reasons, r.Dropped)
	}
	for _, by := range reasons {
		if len(by) > maxReasons {
			return fmt.Errorf("%d reasons: at most %d are allowed", len(by), maxReasons)
		}
		for reason, n := range by {
			if len(reason) > maxReason {
				return fmt.Errorf("reason %.20q…: at most %d bytes are allowed", reason, maxReason)
			}
			numbers = append(numbers, n)
		}
	}
	for _, n := range numbers {
		if n < 0 || n > maxNumber {
			return fmt.Errorf("%d: use a number from 0 to %d", n, int64(maxNumber))
		}
	}
	return nil
}

// The reasons that sidecars count by. Those that a later version adds are Other here.
var (
	refusals    = []string{"memory", "failure", "oversize"}
	badRequests = []string{"malformed", "too_big", "unsupported", "incomplete", "busy"}
	drops       = []string{"queue_full", "retry_limit", "rejected", "oversize", "no_backend", "shutdown"}
)

// known returns the entry with the reasons that sidecars have. Everything else is Other: it
// would be kept without end, and shown to whoever reads the account.
func (e Entry) known() Entry {
	in := func(list []string) func(string) bool {
		return func(reason string) bool { return slices.Contains(list, reason) }
	}
	e.Unaccounted = 0 // only the manager counts them
	e.Refused = rename(e.Refused, in(refusals))
	e.RefusedRequests = rename(e.RefusedRequests, in(badRequests))
	e.Dropped = rename(e.Dropped, in(drops))
	e.Redacted = rename(e.Redacted, redaction.IsCountName)
	if e.Restored != nil {
		e.Restored.Dropped = rename(e.Restored.Dropped, in(drops))
	}
	return e
}

// rename makes Other of the reasons that are not known.
func rename(by map[string]int64, known func(string) bool) map[string]int64 {
	for reason, n := range by {
		if !known(reason) && reason != Other {
			delete(by, reason)
			by[Other] = Add(by[Other], n)
		}
	}
	return by
}

// MaxName is the length of a service's name, in bytes.
const MaxName = 255

// Name returns a name that metrics, tables and the account can hold: that of a service comes
// from whoever creates the pod.
func Name(name string) string {
	if len(name) > MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return "invalid"
	}
	return name
}
