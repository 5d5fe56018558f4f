package exporter

import (
	"math/rand/v2"
	"testing"
	"time"
)

func of(count, bytes int) item { return item{body: make([]byte, bytes), count: count} }

func TestQueue_Push_DropsOldest(t *testing.T) {
	q := queue{limit: 3 * (100 + overhead)}
	for count := 1; count <= 3; count++ {
		if dropped := q.push(of(count, 100)); len(dropped) > 0 {
			t.Fatalf("item %d pushes %v out of a queue that has room", count, dropped)
		}
	}
	dropped := q.push(of(4, 100))
	if len(dropped) != 1 || dropped[0].count != 1 {
		t.Errorf("dropped: %v, want item 1", dropped)
	}
	if q.count != 2+3+4 {
		t.Errorf("count is %d, want 9", q.count)
	}
}

func TestQueue_Push_KeepsTaken(t *testing.T) {
	q := queue{limit: 2 * (100 + overhead)}
	q.push(of(1, 100))
	taken := q.take(batchLimits{bytes: 1000, items: 1000})
	q.push(of(2, 100))
	if dropped := q.push(of(3, 100)); len(dropped) != 1 || dropped[0].count != 2 {
		t.Errorf("dropped: %v, want item 2: item 1 is taken", dropped)
	}
	if dropped := q.push(of(4, 200)); len(dropped) != 2 || dropped[1].count != 4 {
		t.Errorf("dropped: %v, want item 3 and item 4 itself, which has no room beside item 1", dropped)
	}
	if len(taken) != 1 || taken[0].count != 1 {
		t.Errorf("taken: %v, want item 1", taken)
	}
}

func TestQueue_Take(t *testing.T) {
	cases := map[string]struct {
		items []item
		batch batchLimits
		want  int
	}{
		"all of few":                           {[]item{of(1, 10), of(1, 10)}, batchLimits{bytes: 100, items: 100}, 2},
		"up to the bytes":                      {[]item{of(1, 60), of(1, 40), of(1, 1)}, batchLimits{bytes: 100, items: 100}, 2},
		"up to the items":                      {[]item{of(60, 1), of(40, 1), of(1, 1)}, batchLimits{bytes: 100, items: 100}, 2},
		"one item that is too large by itself": {[]item{of(1, 200), of(1, 1)}, batchLimits{bytes: 100, items: 100}, 1},
		"nothing of an empty queue":            {nil, batchLimits{bytes: 100, items: 100}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q := queue{limit: 1 << 20}
			for _, i := range c.items {
				q.push(i)
			}
			if got := len(q.take(c.batch)); got != c.want {
				t.Errorf("took %d, want %d", got, c.want)
			}
		})
	}
}

func TestQueue_Ready(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	q := queue{limit: 1 << 20}
	batch := batchLimits{bytes: 500, items: 10}
	if full, wait := q.ready(batch, time.Second, now); full || wait >= 0 {
		t.Errorf("an empty queue: full %v, wait %v", full, wait)
	}
	q.push(item{count: 1, since: now})
	if full, wait := q.ready(batch, time.Second, now.Add(300*time.Millisecond)); full || wait != 700*time.Millisecond {
		t.Errorf("a young queue: full %v, wait %v", full, wait)
	}
	if full, _ := q.ready(batch, time.Second, now.Add(time.Second)); !full {
		t.Error("an old queue is not ready")
	}
	q.push(item{count: 9, since: now})
	if full, _ := q.ready(batch, time.Second, now); !full {
		t.Error("a full queue is not ready")
	}
	q = queue{limit: 1 << 20}
	q.push(item{body: make([]byte, 500-overhead), count: 1, since: now})
	if full, _ := q.ready(batch, time.Second, now); !full {
		t.Error("a queue with the bytes of a batch is not ready")
	}
}

// In whatever order items are pushed and taken, none is lost or doubled, and the bytes
// never exceed the limit.
func TestQueue_CountsEveryItem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		q := queue{limit: 5000}
		var in, out int
		for range 300 {
			switch random.IntN(3) {
			case 0, 1:
				i := of(1+random.IntN(9), random.IntN(1500))
				in += i.count
				for _, dropped := range q.push(i) {
					out += dropped.count
				}
			case 2:
				if len(q.taken) == 0 {
					q.take(batchLimits{bytes: 2000, items: 20})
				} else {
					out += countItems(q.taken)
					q.ack()
				}
			}
			if held := q.count + countItems(q.taken); in != out+held || q.bytes > q.limit || q.bytes < 0 {
				t.Fatalf("in %d, out %d, held %d, %d bytes of %d", in, out, held, q.bytes, q.limit)
			}
		}
	}
}

// Nothing refers to the body of an item that has left the queue.
func TestQueue_LetsGo(t *testing.T) {
	q := queue{limit: 1 << 20}
	for range 4 {
		q.push(of(1, 100))
	}
	waiting := q.waiting
	taken := q.take(batchLimits{bytes: 400, items: 4})
	q.ack()
	for i := range 4 {
		if waiting[i].body != nil || taken[i].body != nil {
			t.Errorf("item %d is still held", i)
		}
	}
	if q.waiting != nil {
		t.Error("an empty queue holds its memory")
	}
}
