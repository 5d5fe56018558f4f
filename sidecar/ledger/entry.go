package ledger

import "encoding/json"

// Entry is the printed form of the counters of one signal.
type Entry struct {
	Accepted        int64            `json:"accepted"`
	Exported        int64            `json:"exported"`
	Refused         map[string]int64 `json:"refused"`
	RefusedRequests map[string]int64 `json:"refused_requests"`
	Dropped         map[string]int64 `json:"dropped"`
	Stored          int64            `json:"stored"`
}

// Balance returns how many items were accepted and are neither exported, dropped nor
// stored: those that a running sidecar holds, and zero once it has ended.
func (e Entry) Balance() int64 {
	left := e.Accepted - e.Exported - e.Stored
	for _, n := range e.Dropped {
		left -= n
	}
	return left
}

// Entry returns the counts as they are now. Reasons that did not occur are absent.
func (c *Counters) Entry() Entry {
	e := Entry{
		Accepted: c.accepted.Load(), Exported: c.exported.Load(), Stored: c.stored.Load(),
		Refused: map[string]int64{}, RefusedRequests: map[string]int64{}, Dropped: map[string]int64{},
	}
	for r := range refusals {
		put(e.Refused, r.String(), c.refused[r].Load())
	}
	for r := range badRequests {
		put(e.RefusedRequests, r.String(), c.requests[r].Load())
	}
	for r := range reasons {
		put(e.Dropped, r.String(), c.dropped[r].Load())
	}
	return e
}

func put(to map[string]int64, key string, n int64) {
	if n != 0 {
		to[key] = n
	}
}

// Entries returns the entries of all signals, by name.
func (l *Ledger) Entries() map[string]Entry {
	entries := make(map[string]Entry, len(Signals))
	for _, s := range Signals {
		entries[s.String()] = l.Counters(s).Entry()
	}
	return entries
}

// Line returns the ledger as one line of JSON; log shippers find it by "ledger".
func (l *Ledger) Line() []byte {
	line, err := json.Marshal(map[string]any{"ledger": l.Entries()})
	if err != nil { // maps of strings and integers
		panic(err)
	}
	return append(line, '\n')
}
