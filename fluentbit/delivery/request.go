package delivery

import (
	"cmp"
	"slices"
)

// request is the content of one PutLogEvents request: the next items of some
// pending batches, in order of time.
type request struct {
	items []*Item
	parts []requestPart
}

// requestPart says how many items of a batch a request carries.
type requestPart struct {
	batch *pendingBatch
	n     int
}

func (r request) entries() [][]byte {
	all := make([][]byte, len(r.items))
	for i, item := range r.items {
		all[i] = item.Entry
	}
	return all
}

// nextRequest takes what fits into a request, from the oldest batch first. Items
// of a batch are in order of time, so a request takes the first n of each, and
// those within 24 hours of the earliest item come first too.
func (q *streamQueue) nextRequest() (r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	latest, size := q.earliest()+maxSpan.Milliseconds(), 0
	for _, p := range q.pending {
		n := 0
		for _, item := range p.items[p.next:] {
			grown := size + item.Size + eventOverhead
			if item.Time > latest || grown > maxBatchBytes || len(r.items) == q.maxEvents {
				break
			}
			r.items, size = append(r.items, item), grown
			n++
		}
		if n > 0 {
			r.parts, p.inFlight = append(r.parts, requestPart{p, n}), true
		}
	}
	if len(r.parts) > 1 {
		slices.SortStableFunc(r.items, func(a, b *Item) int { return cmp.Compare(a.Time, b.Time) })
	}
	return r
}

// earliest returns the time of the earliest pending item. The caller holds the mutex.
func (q *streamQueue) earliest() int64 {
	var first int64
	for i, p := range q.pending {
		if at := p.items[p.next].Time; i == 0 || at < first {
			first = at
		}
	}
	return first
}
