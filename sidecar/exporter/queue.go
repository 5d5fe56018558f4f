package exporter

import "time"

// item is one accepted request, or a piece of one, as OTLP protobuf. Because
// the message of every signal is one repeated field, the bytes of several put
// together are one message with all that is in them.
type item struct {
	id    uint64 // in the journal
	body  []byte
	count int // of spans, data points or log records
	since time.Time
}

// overhead is what an item costs beside its body.
const overhead = 64

func (i item) size() int64 { return int64(len(i.body)) + overhead }

// queue holds items in order, in bounded memory; those at its front may be
// taken, which keeps them in the account until they are settled. It is not
// safe for calls at once.
type queue struct {
	waiting, taken []item

	count int   // of what waits
	bytes int64 // of all, taken or not
	limit int64
}

// push adds the newest and returns the oldest that had to go for it. What is on
// its way does not go; an item that has no room even so is itself returned.
func (q *queue) push(newest item) (gone []item) {
	for q.bytes+newest.size() > q.limit && len(q.waiting) > 0 {
		oldest := q.shift()
		q.bytes -= oldest.size()
		gone = append(gone, oldest)
	}
	if q.bytes+newest.size() > q.limit {
		return append(gone, newest)
	}
	q.waiting = append(q.waiting, newest)
	q.bytes += newest.size()
	q.count += newest.count
	return gone
}

func (q *queue) shift() item {
	first := q.waiting[0]
	q.waiting[0] = item{}
	q.waiting = q.waiting[1:]
	q.count -= first.count
	return first
}

// take marks as many items from the front as one request may hold, and returns
// them; at least one, if there is one.
func (q *queue) take(b Batch) []item {
	bytes, count := 0, 0
	for len(q.waiting) > 0 {
		next := q.waiting[0]
		bytes, count = bytes+len(next.body), count+next.count
		if len(q.taken) > 0 && (bytes > b.Bytes || count > b.Items) {
			break
		}
		q.taken = append(q.taken, q.shift())
	}
	return q.taken
}

// settle forgets what was taken.
func (q *queue) settle() {
	for _, i := range q.taken {
		q.bytes -= i.size()
	}
	clear(q.taken)
	q.taken = q.taken[:0]
	if len(q.waiting) == 0 {
		q.waiting = nil // what a burst took is given back
	}
}

// ripe tells whether a request is full, and if not, how long it may still be
// gathered; negative: there is nothing to gather.
func (q *queue) ripe(b Batch, flush time.Duration, now time.Time) (full bool, wait time.Duration) {
	if len(q.waiting) == 0 {
		return false, -1
	}
	if q.bytes >= int64(b.Bytes) || q.count >= b.Items {
		return true, 0
	}
	wait = max(0, flush-now.Sub(q.waiting[0].since))
	return wait == 0, wait
}
