package fluentbit

import (
	"context"
	"sync"
	"time"

	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/fluentbit/emf"
	"github.com/nova/novawire/fluentbit/record"
)

// counts are the tallies of what was delivered: a line that comes again is
// counted once.
type counts struct {
	window emf.Window
	mu     sync.Mutex
	queued []counted // documents that were not delivered yet, oldest first
}

// tallied is the mark of an item that counts for something.
type tallied struct {
	service emf.Service
	tally   record.Tally
}

type counted struct {
	to   delivery.Stream
	item delivery.Item
}

func (c *counts) delivered(mark any) {
	if t, ok := mark.(tallied); ok {
		c.window.Add(t.service, t.tally)
	}
}

// mostQueued is how many documents wait for a service that is away: a day's of
// a service, or an hour's of two dozen.
const mostQueued = 1440

// report delivers the documents of each minute when it is over, and those of the
// last when the output ends.
func (o *Output) report() {
	for o.set.Clock.Wait(o.life, untilMinute(o.set.Clock.Now())) == nil {
		o.tell(o.life, o.set.Clock.Now().Truncate(time.Minute).Add(-time.Minute), o.config.FlushTimeout)
	}
	<-o.silence
	o.tell(context.WithoutCancel(o.life), o.set.Clock.Now().Truncate(time.Minute), lastWords)
}

func untilMinute(now time.Time) time.Duration {
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// tell queues the documents of a minute and delivers what is queued.
func (o *Output) tell(ctx context.Context, minute time.Time, within time.Duration) {
	defer o.rescue("deliver counts", func() {})
	o.queue(minute)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_ = o.set.Clock.Wait(ctx, within)
		cancel()
	}()
	defer cancel()
	o.counts.mu.Lock()
	defer o.counts.mu.Unlock()
	var delivering sync.WaitGroup
	for to, items := range o.counts.byStream() {
		delivering.Go(func() {
			defer o.rescue("deliver counts", func() {})
			o.sender.Deliver(ctx, to, items)
		})
	}
	delivering.Wait()
	o.counts.forget()
}

// queue makes documents of the counts, and gives the oldest up where too many wait.
func (o *Output) queue(minute time.Time) {
	c := &o.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	account := o.sender.Ledger.Of(delivery.Metrics)
	for service, tally := range c.window.Take() {
		text := emf.Document(o.config.MetricsNamespace, service, *tally, minute.UnixMilli(), o.config.Node)
		entry, size := record.AppendEntry(nil, minute.UnixMilli(), text)
		c.queued = append(c.queued, counted{service.Place.(delivery.Stream), delivery.Item{Time: minute.UnixMilli(), Size: size, Entry: entry}})
		account.Accepted.Add(1)
	}
	if over := len(c.queued) - mostQueued; over > 0 {
		account.Drop(over)
		c.queued = c.queued[over:]
	}
}

func (c *counts) byStream() map[delivery.Stream][]*delivery.Item {
	all := map[delivery.Stream][]*delivery.Item{}
	for i := range c.queued {
		all[c.queued[i].to] = append(all[c.queued[i].to], &c.queued[i].item)
	}
	return all
}

func (c *counts) forget() {
	kept := c.queued[:0]
	for _, q := range c.queued {
		if !q.item.Settled {
			kept = append(kept, q)
		}
	}
	clear(c.queued[len(kept):])
	c.queued = kept
}
