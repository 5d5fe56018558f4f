package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nova/novawire/sidecar/ledger"
)

// Limits bound one request. Zero means no limit.
type Limits struct {
	Bytes     int // of the wire form
	Items     int
	ItemBytes int // of the wire form of one item
	// Growth is by how many bytes each resource may grow, by [Attributes.Complete], and
	// still be within Bytes.
	Growth int
	// Share is how many requests of several items are within Bytes together, for a cut
	// into smaller requests than a single item may need.
	Share int
}

// Allow reports whether a request of so many bytes is within the limits.
func (l Limits) Allow(size int, s Summary) bool {
	return within(size+s.Resources*l.Growth, l.Bytes) && within(s.Items, l.Items) && within(s.LargestItem, l.ItemBytes)
}

func within(n, limit int) bool { return limit == 0 || n <= limit }

// Cut yields the items of a request in requests that are each within the limits,
// with their resources, scopes and metrics. Items that no request may hold are left
// out and counted. A yielded request is valid until yield returns; an error of yield
// ends the cut. [Scan] must have accepted the request.
func Cut(signal ledger.Signal, request []byte, limits Limits, yield func(request []byte, items int) error) (oversize int, err error) {
	c := cutter{limits: limits, several: limits, yield: yield}
	if limits.Share > 1 {
		c.several.Bytes = limits.Bytes / limits.Share
	}
	c.open(0, requests[signal], request)
	if err := c.walk(requests[signal], request); err != nil {
		return c.oversize, err
	}
	return c.oversize, c.flush()
}

type cutter struct {
	limits  Limits // of a single item, with what is around it
	several Limits // of more of them
	yield   func([]byte, int) error

	levels    []level // the messages between the request and the item at hand
	items     int     // of the request being built
	resources int     // of the request being built
	oversize  int
}

// level is a message on the path to the items.
type level struct {
	number   protowire.Number // of its field in the level above
	context  []byte           // the fields that go with all of its items
	resource int              // 1 for what holds a resource
	content  []byte           // built so far, the context included
	used     bool             // content holds an item
}

// open begins a message: what is not on the path to the items goes with all of them.
func (c *cutter) open(number protowire.Number, m *message, content []byte) {
	if len(c.levels) < cap(c.levels) {
		c.levels = c.levels[:len(c.levels)+1] // its buffers serve again
	} else {
		c.levels = append(c.levels, level{})
	}
	l := &c.levels[len(c.levels)-1]
	l.number, l.context, l.resource, l.used = number, l.context[:0], 0, false
	if m.resource {
		l.resource = 1
	}
	for f := range fieldsOf(content) {
		if m.field(f.number).kind != path {
			l.context = append(l.context, f.whole...)
		}
	}
}

// close ends the last message: what it holds is part of the one above.
func (c *cutter) close() {
	last := len(c.levels) - 1
	if l := &c.levels[last]; l.used {
		above := &c.levels[last-1]
		above.content = appendBytes(above.content, l.number, l.content)
	}
	c.levels = c.levels[:last]
}

func (c *cutter) walk(m *message, content []byte) error {
	for f := range fieldsOf(content) {
		d := m.field(f.number)
		if d.kind != path {
			continue
		}
		if d.to.item {
			if err := c.add(f.whole, len(f.value)); err != nil {
				return err
			}
			continue
		}
		c.open(f.number, d.to, f.value)
		if err := c.walk(d.to, f.value); err != nil {
			return err
		}
		c.close()
	}
	return nil
}

// framing is the most that tag and length of a message take.
const framing = 3 + 5

// add puts an item into the request being built, or into the next. What is around the item
// is at most half of a request: it goes with every request, and otherwise small items would
// make many times the bytes that were sent.
func (c *cutter) add(whole []byte, itemBytes int) error {
	context := 0                      // of this item alone
	size, resources := 0, c.resources // of the request being built, with what this item opens
	for i := range c.levels {
		l := &c.levels[i]
		context += framing + len(l.context)
		if l.used {
			size += framing + len(l.content)
		} else {
			size += framing + len(l.context)
			resources += l.resource
		}
	}
	alone := Summary{Items: 1, Resources: 1, LargestItem: itemBytes}
	if !c.limits.Allow(context+len(whole), alone) || !within(2*context, c.limits.Bytes) {
		c.oversize++
		return nil
	}
	several := c.several
	several.Bytes = max(several.Bytes, min(2*(context+c.limits.Growth), c.limits.Bytes))
	if !several.Allow(size+len(whole), Summary{Items: c.items + 1, Resources: resources}) {
		if err := c.flush(); err != nil {
			return err
		}
	}
	for i := range c.levels {
		if l := &c.levels[i]; !l.used {
			l.content, l.used = append(l.content[:0], l.context...), true
			c.resources += l.resource
		}
	}
	last := &c.levels[len(c.levels)-1]
	last.content = append(last.content, whole...)
	c.items++
	return nil
}

// flush yields the request being built, if it holds an item.
func (c *cutter) flush() error {
	if c.items == 0 {
		return nil
	}
	for i := len(c.levels) - 1; i > 0; i-- {
		l, above := &c.levels[i], &c.levels[i-1]
		if l.used {
			above.content = appendBytes(above.content, l.number, l.content)
			l.used = false
		}
	}
	items := c.items
	c.items, c.resources, c.levels[0].used = 0, 0, false
	return c.yield(c.levels[0].content, items)
}
