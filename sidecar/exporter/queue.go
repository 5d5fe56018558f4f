package exporter

import "time"

// item is one accepted request, or a piece of one, as OTLP protobuf. Because the
// message of every signal is one repeated field, the bytes of several items one after
// the other are one message with everything that is in them.
type item struct {
	id    uint64 // in the journal; 0: in memory alone
	body  []byte
	count int // of spans, data points or log records
	since time.Time
}

// overhead is what an item takes beside its body, in bytes.
const overhead = 64

func (i item) size() int64 { return int64(len(i.body)) + overhead }

// batchLimits bound a batch that is put together from the queue.
type batchLimits struct{ bytes, items int }

// queue holds items in order, in bounded memory. Items at its front may be taken;
// they stay part of its bytes until they are acknowledged. It is not safe for
// concurrent use.
type queue struct {
	waiting, taken []item

	count int   // of the items in waiting
	bytes int64 // of all items, taken or not
	limit int64
}

// push adds the newest item and returns the oldest ones that made room for it. Taken
// items stay; a newest item for which there is still no room is returned itself.
func (q *queue) push(newest item) (dropped []item) {
	for q.bytes+newest.size() > q.limit && len(q.waiting) > 0 {
		oldest := q.shift()
		q.bytes -= oldest.size()
		dropped = append(dropped, oldest)
	}
	if q.bytes+newest.size() > q.limit {
		return append(dropped, newest)
	}
	q.waiting = append(q.waiting, newest)
	q.bytes += newest.size()
	q.count += newest.count
	return dropped
}

func (q *queue) shift() item {
	first := q.waiting[0]
	q.waiting[0] = item{}
	q.waiting = q.waiting[1:]
	q.count -= first.count
	return first
}

// take returns as many items from the front as one batch may hold; at least one, if
// there is one.
func (q *queue) take(limits batchLimits) []item {
	bytes, count := 0, 0
	for len(q.waiting) > 0 {
		next := q.waiting[0]
		bytes, count = bytes+len(next.body), count+next.count
		if len(q.taken) > 0 && (bytes > limits.bytes || count > limits.items) {
			break
		}
		q.taken = append(q.taken, q.shift())
	}
	return q.taken
}

// ack forgets the taken items.
func (q *queue) ack() {
	for _, i := range q.taken {
		q.bytes -= i.size()
	}
	clear(q.taken)
	q.taken = q.taken[:0]
	if len(q.waiting) == 0 {
		q.waiting = nil // the memory of a burst is given back
	}
}

// ready reports whether a batch is full, and if not, how long it may still be
// gathered; negative: the queue is empty.
func (q *queue) ready(limits batchLimits, flush time.Duration, now time.Time) (full bool, wait time.Duration) {
	if len(q.waiting) == 0 {
		return false, -1
	}
	if q.bytes >= int64(limits.bytes) || q.count >= limits.items {
		return true, 0
	}
	wait = max(0, flush-now.Sub(q.waiting[0].since))
	return wait == 0, wait
}

// all returns the items in order, the taken ones first.
func (q *queue) all(yield func(*item) bool) {
	for _, items := range [][]item{q.taken, q.waiting} {
		for i := range items {
			if !yield(&items[i]) {
				return
			}
		}
	}
}

func countItems(batch []item) (items int) {
	for _, i := range batch {
		items += i.count
	}
	return items
}
