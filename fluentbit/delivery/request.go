package delivery

import (
	"cmp"
	"slices"
)

// A batch is what one request carries: a number of each parcel's next items,
// together in order of time.
type request struct {
	items []*Item
	parts []requestPart
}

type requestPart struct {
	batch *pendingBatch
	n     int
}

func (b request) entries() [][]byte {
	all := make([][]byte, len(b.items))
	for i, item := range b.items {
		all[i] = item.Entry
	}
	return all
}

// nextRequest takes what a request may hold from the parcels, the oldest parcel
// first. The items of a parcel are in order, so what is taken is a beginning of
// each, and what is within a day of the earliest of all is so too.
func (l *streamQueue) nextRequest() (b request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	latest, size := l.earliest()+maxSpan.Milliseconds(), 0
	for _, p := range l.pending {
		n := 0
		for _, item := range p.items[p.next:] {
			grown := size + item.Size + eventOverhead
			if item.Time > latest || grown > maxBatchBytes || len(b.items) == l.maxEvents {
				break
			}
			b.items, size = append(b.items, item), grown
			n++
		}
		if n > 0 {
			b.parts, p.inFlight = append(b.parts, requestPart{p, n}), true
		}
	}
	if len(b.parts) > 1 {
		slices.SortStableFunc(b.items, func(a, b *Item) int { return cmp.Compare(a.Time, b.Time) })
	}
	return b
}

// earliest is the time of the first item of all that wait.
func (l *streamQueue) earliest() int64 {
	var first int64
	for i, p := range l.pending {
		if at := p.items[p.next].Time; i == 0 || at < first {
			first = at
		}
	}
	return first
}
