package ledger

import "encoding/json"

// Entry is the account of one signal as it is printed.
type Entry struct {
	Accepted        int64            `json:"accepted"`
	Exported        int64            `json:"exported"`
	Refused         map[string]int64 `json:"refused"`
	RefusedRequests map[string]int64 `json:"refused_requests"`
	Dropped         map[string]int64 `json:"dropped"`
	Stored          int64            `json:"stored"`
}

// Balance is what was accepted and is neither exported, dropped nor stored. It
// is what the sidecar holds while it runs and zero once it has ended.
func (e Entry) Balance() int64 {
	left := e.Accepted - e.Exported - e.Stored
	for _, n := range e.Dropped {
		left -= n
	}
	return left
}

// Entry returns the account as it stands. Reasons that did not occur are absent.
func (a *Account) Entry() Entry {
	e := Entry{
		Accepted: a.accepted.Load(), Exported: a.exported.Load(), Stored: a.stored.Load(),
		Refused: map[string]int64{}, RefusedRequests: map[string]int64{}, Dropped: map[string]int64{},
	}
	for r := range refusals {
		put(e.Refused, r.String(), a.refused[r].Load())
	}
	for r := range badRequests {
		put(e.RefusedRequests, r.String(), a.requests[r].Load())
	}
	for r := range reasons {
		put(e.Dropped, r.String(), a.dropped[r].Load())
	}
	return e
}

func put(to map[string]int64, key string, n int64) {
	if n != 0 {
		to[key] = n
	}
}

// Entries returns all accounts by the name of their signal.
func (l *Ledger) Entries() map[string]Entry {
	entries := make(map[string]Entry, len(Signals))
	for _, s := range Signals {
		entries[s.String()] = l.Of(s).Entry()
	}
	return entries
}

// Line is the ledger as one line of JSON; log shippers find it by "ledger".
func (l *Ledger) Line() []byte {
	line, err := json.Marshal(map[string]any{"ledger": l.Entries()})
	if err != nil { // maps of strings and integers
		panic(err)
	}
	return append(line, '\n')
}
