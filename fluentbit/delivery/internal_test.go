package delivery

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Queues of streams that nobody uses are removed once there are too many.
func TestSender_RemovesUnusedQueues(t *testing.T) {
	s := New(nil, Settings{})
	used := s.acquire(Stream{Name: "used"})
	for i := range maxQueues + 10 {
		s.release(s.acquire(Stream{Name: fmt.Sprint(i)}))
		if i == 0 {
			first := s.queues[Stream{Name: "0"}]
			if s.acquire(Stream{Name: "another"}); s.queues[Stream{Name: "0"}] != first {
				t.Error("a queue was removed although there are few")
			}
			s.release(s.queues[Stream{Name: "another"}])
		}
		if len(s.queues) > maxQueues {
			t.Fatalf("there are %d queues", len(s.queues))
		}
	}
	if n := len(s.queues); n > 20 {
		t.Errorf("%d queues are kept", n)
	}
	if s.acquire(Stream{Name: "used"}) != used {
		t.Error("a queue in use was removed")
	}
	if used.users != 2 {
		t.Errorf("%d users are counted", used.users)
	}
	s.release(used)
	s.release(used)
	for i := range maxQueues + 10 {
		s.release(s.acquire(Stream{Name: fmt.Sprint("again", i)}))
	}
	if s.queues[Stream{Name: "used"}] != nil {
		t.Error("a queue that is not used any more was kept")
	}
	s.Deliver(t.Context(), Stream{}, nil)
}

// slow is a service that takes a second for a request.
type slow struct {
	Service
	atOnce, most int
	mu           sync.Mutex
}

func (s *slow) Put(context.Context, string, string, [][]byte) (Rejected, error) {
	s.mu.Lock()
	s.atOnce++
	s.most = max(s.most, s.atOnce)
	s.mu.Unlock()
	time.Sleep(time.Second)
	s.mu.Lock()
	s.atOnce--
	s.mu.Unlock()
	return Rejected{}, nil
}

// A queue is started once, also if the second batch is there before the first run has
// begun, and is free when the callers have returned.
func TestSender_Deliver_OneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // no run begins between the two
		service := &slow{}
		wait := func(_ context.Context, d time.Duration) error { time.Sleep(d); return nil }
		s := New(service, Settings{Clock: Clock{Now: time.Now, Wait: wait}, Limiter: NewRateLimiter()})
		defer s.Close()
		q := s.acquire(Stream{Name: "a"})
		batches := []*pendingBatch{
			{items: []*Item{{Entry: []byte("1")}}, done: make(chan struct{})},
			{items: []*Item{{Entry: []byte("2")}}, done: make(chan struct{})},
		}
		for _, p := range batches {
			q.add(p)
		}
		for _, p := range batches {
			<-p.done
		}
		s.release(q)
		if service.most != 1 {
			t.Errorf("%d requests at once", service.most)
		}
		if !s.Deliver(t.Context(), Stream{Name: "a"}, []*Item{{Entry: []byte("3")}}) || q.users != 0 {
			t.Errorf("%d users after the last has returned", q.users)
		}
	})
}

// A batch of which a request carries nothing is not under way.
func TestStreamQueue_NextRequest_Full(t *testing.T) {
	q := &streamQueue{maxEvents: 1}
	first, second := &pendingBatch{items: []*Item{{}}}, &pendingBatch{items: []*Item{{}}}
	q.pending = []*pendingBatch{first, second}
	if r := q.nextRequest(); len(r.items) != 1 || len(r.parts) != 1 || !first.inFlight || second.inFlight {
		t.Errorf("%d items of %d batches; under way: %t, %t", len(r.items), len(r.parts), first.inFlight, second.inFlight)
	}
}

func TestCheckpoints_Memory(t *testing.T) {
	one := (&Checkpoint{settled: newBitmap(64), unsure: newBitmap(64)}).bytes()
	if one != 128+16 {
		t.Errorf("a checkpoint of 64 events counts %d bytes", one)
	}
	c := NewCheckpoints(2 * one)
	for i := range 2 {
		c.Save([]byte{byte(i)}, "", make([]Item, 64))
	}
	if len(c.order) != 2 || c.bytes != 2*one {
		t.Errorf("%d checkpoints of %d bytes fit", len(c.order), c.bytes)
	}
	c.Save([]byte{2}, "", make([]Item, 64))
	if len(c.order) != 2 || c.Take([]byte{0}, "") != nil {
		t.Errorf("%d checkpoints are kept", len(c.order))
	}
	for i := range 3 {
		c.Take([]byte{byte(i)}, "")
	}
	if len(c.saved) != 0 || len(c.order) != 0 || c.bytes != 0 {
		t.Errorf("after all are taken, %v are left, %d bytes", c.saved, c.bytes)
	}
	small := NewCheckpoints(1)
	small.Save([]byte{0}, "", make([]Item, 64))
	if small.Take([]byte{0}, "") == nil {
		t.Error("the latest checkpoint was not kept")
	}
}
