package wire

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/nova/novawire/sidecar/ledger"
)

var podAttributes = []Attribute{{"k8s.pod.name", "cart-1"}, {"service.name", "shop"}}

// A request that is changed in the wire form is what it would be if it were decoded, changed
// and encoded: by pdata, and by OTLP's own Go code, which refuses text that is not UTF-8.
func TestDifferential(t *testing.T) {
	const cases, mutated = 2000, 5 // of which one is
	accepted, invalid := 0, 0
	for seed := range uint64(cases) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), old: seed%2 == 0, invalid: seed%7 < 2}
		c := &comparison{T: t, generator: g, signal: ledger.Signal(seed % 3)}
		c.request, c.today = g.message(newOfficial(c.signal).ProtoReflect().Descriptor(), 0)
		mutate := seed%mutated == 0
		if mutate {
			c.request = g.mutate(c.today)
			c.today = c.request
		}
		var err error
		if c.sum, err = Scan(c.signal, c.request); err != nil {
			if !mutate {
				t.Fatalf("seed %d: %x: a good request is refused: %v", seed, c.request, err)
			}
			continue
		}
		if err := unmarshal(c.signal, c.request); err != nil {
			t.Fatalf("seed %d: %x: pdata refuses what Scan accepts: %v", seed, c.request, err)
		}
		c.compare()
		if t.Failed() {
			t.Fatalf("seed %d, %s: %x", seed, c.signal, c.request)
		}
		accepted++
		if c.sum.InvalidText {
			invalid++
		}
	}
	if accepted < cases*4/5 || invalid < cases/10 {
		t.Errorf("%d of %d requests were accepted, %d with text that is not UTF-8", accepted, cases, invalid)
	}
}

type comparison struct {
	*testing.T
	*generator
	signal         ledger.Signal
	request, today []byte // the same, with scopes in their old place and without
	sum            Summary
}

func (c *comparison) compare() {
	want := refer(c.T, c.signal, c.today, podAttributes)
	if c.sum.Items != want.count || c.sum.Items != len(want.items) {
		c.Errorf("counts %d items, pdata %d", c.sum.Items, want.count)
	}
	c.compareCompleted(want)
	c.compareUnchanged()
	c.comparePieces(want)
}

// compareCompleted repairs and completes the whole request.
func (c *comparison) compareCompleted(want reference) {
	repaired := Repair(c.signal, c.request)
	if sum, err := Scan(c.signal, repaired); err != nil || sum.InvalidText || sum.Items != c.sum.Items || sum.Resources != c.sum.Resources || len(repaired) > 3*len(c.request) {
		c.Errorf("repaired: %+v, %v, %d bytes; before %+v, %d bytes", sum, err, len(repaired), c.sum, len(c.request))
	}
	if !c.sum.InvalidText {
		repaired = c.request
	}
	attributes := NewAttributes(podAttributes)
	completed := attributes.Complete(nil, repaired)
	if most := len(repaired) + c.sum.Resources*attributes.Growth(); len(completed) > most {
		c.Errorf("completed it has %d bytes, want at most %d", len(completed), most)
	}
	valid := strings.ToValidUTF8(want.completed, "\uFFFD")
	if got := refer(c.T, c.signal, completed, nil).plain; got != valid {
		c.Errorf("completed (-want +got):\n%s", cmp.Diff(valid, got))
	}
	if err := proto.Unmarshal(completed, newOfficial(c.signal)); err != nil {
		c.Errorf("completed: a strict decoder refuses it: %v", err)
	}
}

// compareUnchanged looks at fields that pdata does not know, too.
func (c *comparison) compareUnchanged() {
	before, after := newOfficial(c.signal), newOfficial(c.signal)
	if proto.Unmarshal(c.today, before) != nil {
		return // text that is not UTF-8
	}
	m := before.ProtoReflect()
	resources := m.Get(m.Descriptor().Fields().ByNumber(1)).List()
	for i := range resources.Len() { // each has one afterwards, if only an empty one
		r := resources.Get(i).Message()
		r.Mutable(r.Descriptor().Fields().ByNumber(1))
	}
	if err := proto.Unmarshal(new(Attributes).Complete(nil, c.request), after); err != nil || !proto.Equal(before, after) {
		c.Errorf("without attributes (-want +got): %v\n%s", err, cmp.Diff(prototext.Format(before), prototext.Format(after)))
	}
}

// comparePieces cuts the request by random limits: the pieces hold the items but for those
// that are too large, in order, and each is within the limits.
func (c *comparison) comparePieces(want reference) {
	limits := Limits{
		Items: c.IntN(6), Bytes: c.IntN(3) * c.IntN(1000), ItemBytes: c.IntN(2) * c.IntN(300),
		Growth: c.IntN(2) * c.IntN(200), Share: c.IntN(5),
	}
	var items []string
	oversize, err := Cut(c.signal, c.request, limits, func(piece []byte, n int) error {
		sum, err := Scan(c.signal, piece)
		if err != nil || n == 0 || sum.Items != n || !limits.Allow(len(piece), sum) {
			c.Errorf("a piece of %d items and %d bytes: %+v, %v", n, len(piece), sum, err)
		}
		items = append(items, refer(c.T, c.signal, new(Attributes).Complete(nil, piece), nil).items...)
		return nil
	})
	if err != nil || oversize+len(items) != c.sum.Items || limits.Bytes == 0 && limits.ItemBytes == 0 && oversize > 0 {
		c.Errorf("limits %+v: %d items in pieces, %d left out of %d: %v", limits, len(items), oversize, c.sum.Items, err)
	}
	rest := want.items
	for _, item := range items {
		at := slices.Index(rest, item)
		if at < 0 {
			c.Errorf("limits %+v: an item in a piece is not one of the request's, or not in order: %s", limits, item)
			return
		}
		rest = rest[at+1:]
	}
}
