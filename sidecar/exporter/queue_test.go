package exporter

import (
	"math/rand/v2"
	"testing"
	"time"
)

func of(count, bytes int) item { return item{body: make([]byte, bytes), count: count} }

func TestQueueGivesUpItsOldestForTheNewest(t *testing.T) {
	q := queue{limit: 3 * (100 + overhead)}
	for count := 1; count <= 3; count++ {
		if gone := q.push(of(count, 100)); len(gone) > 0 {
			t.Fatalf("item %d pushes %v out of a queue that has room", count, gone)
		}
	}
	gone := q.push(of(4, 100))
	if len(gone) != 1 || gone[0].count != 1 {
		t.Errorf("gone: %v, want item 1", gone)
	}
	if q.count != 2+3+4 {
		t.Errorf("count is %d, want 9", q.count)
	}
}

func TestQueueKeepsWhatIsOnItsWay(t *testing.T) {
	q := queue{limit: 2 * (100 + overhead)}
	q.push(of(1, 100))
	taken := q.take(Batch{Bytes: 1000, Items: 1000})
	q.push(of(2, 100))
	if gone := q.push(of(3, 100)); len(gone) != 1 || gone[0].count != 2 {
		t.Errorf("gone: %v, want item 2: item 1 is on its way", gone)
	}
	if gone := q.push(of(4, 200)); len(gone) != 2 || gone[1].count != 4 {
		t.Errorf("gone: %v, want item 3 and item 4 itself, which has no room beside item 1", gone)
	}
	if len(taken) != 1 || taken[0].count != 1 {
		t.Errorf("taken: %v, want item 1", taken)
	}
}

func TestQueueTakesWhatOneRequestMayHold(t *testing.T) {
	cases := map[string]struct {
		items []item
		batch Batch
		want  int
	}{
		"all of few":                 {[]item{of(1, 10), of(1, 10)}, Batch{Bytes: 100, Items: 100}, 2},
		"up to the bytes":            {[]item{of(1, 60), of(1, 40), of(1, 1)}, Batch{Bytes: 100, Items: 100}, 2},
		"up to the items":            {[]item{of(60, 1), of(40, 1), of(1, 1)}, Batch{Bytes: 100, Items: 100}, 2},
		"one that is alone too much": {[]item{of(1, 200), of(1, 1)}, Batch{Bytes: 100, Items: 100}, 1},
		"nothing of nothing":         {nil, Batch{Bytes: 100, Items: 100}, 0},
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

func TestQueueIsRipeWhenFullOrOld(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	q := queue{limit: 1 << 20}
	batch := Batch{Bytes: 500, Items: 10}
	if full, wait := q.ripe(batch, time.Second, now); full || wait >= 0 {
		t.Errorf("an empty queue: full %v, wait %v", full, wait)
	}
	q.push(item{count: 1, since: now})
	if full, wait := q.ripe(batch, time.Second, now.Add(300*time.Millisecond)); full || wait != 700*time.Millisecond {
		t.Errorf("a young queue: full %v, wait %v", full, wait)
	}
	if full, _ := q.ripe(batch, time.Second, now.Add(time.Second)); !full {
		t.Error("an old queue is not ripe")
	}
	q.push(item{count: 9, since: now})
	if full, _ := q.ripe(batch, time.Second, now); !full {
		t.Error("a full queue is not ripe")
	}
}

// Whatever comes in whatever order: no item is lost or doubled, and bytes never
// exceed the limit.
func TestQueueAccountsForEveryItem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		q := queue{limit: 5000}
		var in, out int
		for range 300 {
			switch random.IntN(3) {
			case 0, 1:
				i := of(1+random.IntN(9), random.IntN(1500))
				in += i.count
				for _, gone := range q.push(i) {
					out += gone.count
				}
			case 2:
				if len(q.taken) == 0 {
					q.take(Batch{Bytes: 2000, Items: 20})
				} else {
					out += total(q.taken)
					q.settle()
				}
			}
			if held := q.count + total(q.taken); in != out+held || q.bytes > q.limit || q.bytes < 0 {
				t.Fatalf("in %d, out %d, held %d, %d bytes of %d", in, out, held, q.bytes, q.limit)
			}
		}
	}
}
