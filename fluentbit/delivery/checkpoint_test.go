package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/delivery"
)

func TestCheckpoints_Take(t *testing.T) {
	p := delivery.NewCheckpoints(1 << 20)
	left := func(settled ...bool) []delivery.Item {
		all := make([]delivery.Item, len(settled))
		for i := range all {
			all[i].Settled = settled[i]
		}
		return all
	}
	if p.Take([]byte("a"), "t") != nil {
		t.Error("something was left of nothing")
	}
	p.Save([]byte("a"), "t", left(true, false, true))
	p.Save([]byte("a"), "t", left(false, false, false, true)) // an equal chunk
	if p.Take([]byte("a"), "u") != nil || p.Take([]byte("b"), "t") != nil {
		t.Error("another tag, or other bytes, took it")
	}
	var settled []int
	for range 2 {
		settled = append(settled, p.Take([]byte("a"), "t").Restore(make([]delivery.Item, 4)))
	}
	slices.Sort(settled)
	if diff := cmp.Diff([]int{1, 2}, settled); diff != "" || p.Take([]byte("a"), "t") != nil {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

func TestCheckpoint_Restore(t *testing.T) {
	p := delivery.NewCheckpoints(1 << 20)
	p.Save(nil, "", []delivery.Item{{Unsure: true}, {}})
	back := make([]delivery.Item, 2)
	p.Take(nil, "").Restore(back)
	if !back[0].Unsure || back[1].Unsure {
		t.Errorf("items are %+v", back)
	}
}

func TestCheckpoints_MaxBytes(t *testing.T) {
	p := delivery.NewCheckpoints(10_000)
	chunk := func(i int) []byte { return []byte(fmt.Sprint(i)) }
	for i := range 1000 {
		p.Save(chunk(i), "", make([]delivery.Item, 64))
	}
	known := 0
	for _, i := range rand.Perm(1000) {
		if p.Take(chunk(i), "") != nil {
			known++
		}
	}
	if known < 50 || known > 80 {
		t.Errorf("%d chunks are remembered", known)
	}
}
