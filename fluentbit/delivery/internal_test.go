package delivery

import (
	"fmt"
	"testing"
)

// Queues of streams that nobody uses are removed once there are too many.
func TestSender_RemovesUnusedQueues(t *testing.T) {
	s := New(nil, Settings{})
	used := s.acquire(Stream{Name: "used"})
	for i := range maxQueues + 10 {
		s.release(s.acquire(Stream{Name: fmt.Sprint(i)}))
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
