package ledger

import (
	"maps"
	"reflect"
)

// Pod is the account of one pod: of the run of its sidecar that is under way, and of those
// that have ended. A run is one start of the container; its number is that of the start,
// from 1. So a run that is counted is known as such however late it is shown again.
type Pod struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	// Ended is the number of the newest run that has ended: all up to it are counted.
	Ended int `json:"ended,omitempty"`
	// Unknown is the number of ended runs whose final ledger nobody has seen.
	Unknown int              `json:"unknown,omitempty"`
	Sum     map[string]Entry `json:"sum,omitempty"` // of the runs that have ended

	Run int              `json:"under_way,omitempty"` // number of the run under way; 0: none is known
	Now map[string]Entry `json:"now,omitempty"`       // as it was seen last

	// Base is what the storage had from another pod before the first run: that pod's account
	// has it.
	Base map[string]Restored `json:"base,omitempty"`
}

// Saw takes a ledger of a run. It reports whether the account has changed. Runs must be
// given in their order; a ledger of a run that has ended already changes nothing.
func (p *Pod) Saw(run int, m Message) bool {
	if !p.begin(run) || reflect.DeepEqual(p.Now, m.Ledger) {
		return false
	}
	p.Now = m.Ledger
	return true
}

// End closes a run with its final ledger, or with that of the moment in which it was killed;
// nil if there is neither. It reports whether the account has changed.
func (p *Pod) End(run int, m *Message) bool {
	if !p.begin(run) {
		return false
	}
	if m != nil {
		p.Now = m.Ledger
	}
	p.end(m != nil)
	return true
}

// begin makes a run the one under way. It ends an earlier one, of which nothing more is
// known. It returns false if the run, or a later one, is counted or under way already.
func (p *Pod) begin(run int) bool {
	if run <= p.Ended || run < p.Run {
		return false
	}
	if p.Run != 0 && p.Run != run {
		p.end(false)
	}
	p.Run = run
	return true
}

// Missed notes that all runs up to a number have ended, seen or not.
func (p *Pod) Missed(ended int) bool {
	if ended <= p.Ended {
		return false
	}
	if p.Run != 0 && p.Run <= ended {
		p.end(false)
	}
	p.Unknown += ended - p.Ended
	p.Ended = ended
	return true
}

// Close ends the account, because the pod is gone.
func (p *Pod) Close() {
	if p.Run != 0 {
		p.end(false)
	}
}

// end adds the run under way to those that have ended. What it held has no outcome: it is
// unaccounted.
func (p *Pod) end(known bool) {
	p.Now = maps.Clone(p.Now) // it is the message's
	for signal, e := range p.Now {
		if e.Restored != nil && p.Ended == 0 {
			if p.Base == nil {
				p.Base = map[string]Restored{}
			}
			p.Base[signal] = *e.Restored
		}
		switch held := e.Balance(); {
		case held > 0:
			e.Unaccounted = held
		case held < 0: // killed after an item was exported and before it was counted as accepted
			e.Accepted = Add(e.Accepted, -held)
		}
		p.Now[signal] = e
	}
	p.Sum = p.Total()
	if !known {
		p.Unknown++
	}
	p.Unknown += p.Run - 1 - p.Ended // those before it that nobody has seen
	p.Ended = p.Run
	p.Run, p.Now = 0, nil
}

// Total returns the account of all runs, by signal.
func (p *Pod) Total() map[string]Entry {
	total := make(map[string]Entry, len(p.Sum))
	for signal, e := range p.Sum {
		total[signal] = e
	}
	for signal, e := range p.Now {
		total[signal] = p.continued(signal, total[signal], e)
	}
	return total
}

// continued adds the run under way to the sum of those before it. A ledger that was restored
// from storage has those before it already. What they accepted and the storage does not know
// is unaccounted.
func (p *Pod) continued(signal string, sum, e Entry) Entry {
	r := e.Restored
	if r == nil {
		return sum.Plus(e)
	}
	base, isFirst := p.Base[signal], p.Ended == 0
	if isFirst {
		base = *r
	}
	// A storage that was replaced, or a pod that lies, must not make a number negative.
	total := e
	total.Restored = nil
	total.Accepted = max(0, e.Accepted-base.Accepted)
	total.Exported = max(0, e.Exported-base.Exported)
	total.Dropped = positive(plus(e.Dropped, base.Dropped, -1))
	total.Stored = max(0, e.Stored-max(0, base.Balance()))
	total.AcceptedBytes = Add(e.AcceptedBytes, sum.AcceptedBytes)
	total.ExportedBytes = Add(e.ExportedBytes, sum.ExportedBytes)
	total.Refused = plus(e.Refused, sum.Refused, 1)
	total.RefusedRequests = plus(e.RefusedRequests, sum.RefusedRequests, 1)
	total.Redacted = plus(e.Redacted, sum.Redacted, 1)
	if lost := Add(sum.Accepted, base.Accepted-r.Accepted); lost > 0 && !isFirst {
		total.Accepted = Add(total.Accepted, lost)
		total.Unaccounted = Add(total.Unaccounted, lost)
	}
	return total
}

// positive removes numbers below zero.
func positive(by map[string]int64) map[string]int64 {
	maps.DeleteFunc(by, func(_ string, n int64) bool { return n < 0 })
	return by
}
