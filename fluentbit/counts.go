package fluentbit

import (
	"context"
	"sync"
	"time"

	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/fluentbit/emf"
	"github.com/nova/novawire/fluentbit/record"
)

// serviceCounts are the tallies of what was delivered: a line that comes again is
// counted once.
type serviceCounts struct {
	accumulator emf.Accumulator
	mu          sync.Mutex
	queued      []queuedDocument // documents that were not delivered yet, oldest first
}

// countedEvent is the mark of an item that counts for something.
type countedEvent struct {
	service emf.Service
	tally   record.Tally
}

type queuedDocument struct {
	to   delivery.Stream
	item delivery.Item
}

func (c *serviceCounts) delivered(mark any) {
	if t, ok := mark.(countedEvent); ok {
		c.accumulator.Add(t.service, t.tally)
	}
}

// maxQueuedDocuments is how many documents wait for a service that is away: a day's of
// a service, or an hour's of two dozen.
const maxQueuedDocuments = 1440

// reportCounts delivers the documents of each minute when it is over, and those of the
// last when the output ends.
func (o *Output) reportCounts() {
	for o.settings.Clock.Wait(o.ctx, untilMinute(o.settings.Clock.Now())) == nil {
		o.deliverCounts(o.ctx, o.settings.Clock.Now().Truncate(time.Minute).Add(-time.Minute), o.config.FlushTimeout)
	}
	<-o.countingEnded
	o.deliverCounts(context.WithoutCancel(o.ctx), o.settings.Clock.Now().Truncate(time.Minute), closeTimeout)
}

func untilMinute(now time.Time) time.Duration {
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// deliverCounts queues the documents of a minute and delivers what is queued.
func (o *Output) deliverCounts(ctx context.Context, minute time.Time, within time.Duration) {
	defer o.recoverPanic("deliver counts", func() {})
	o.queueDocuments(minute)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_ = o.settings.Clock.Wait(ctx, within)
		cancel()
	}()
	defer cancel()
	o.counts.mu.Lock()
	defer o.counts.mu.Unlock()
	var delivering sync.WaitGroup
	for to, items := range o.counts.byStream() {
		delivering.Go(func() {
			defer o.recoverPanic("deliver counts", func() {})
			o.sender.Deliver(ctx, to, items)
		})
	}
	delivering.Wait()
	o.counts.removeDelivered()
}

// queueDocuments makes documents of the counts, and gives the oldest up where too many wait.
func (o *Output) queueDocuments(minute time.Time) {
	c := &o.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	account := o.sender.Ledger.Class(delivery.Metrics)
	for service, tally := range c.accumulator.Take() {
		text := emf.Document(o.config.MetricsNamespace, service, *tally, minute.UnixMilli(), o.config.Node)
		entry, size := record.AppendEntry(nil, minute.UnixMilli(), text)
		c.queued = append(c.queued, queuedDocument{service.Destination.(delivery.Stream), delivery.Item{Time: minute.UnixMilli(), Size: size, Entry: entry}})
		account.Accepted.Add(1)
	}
	if over := len(c.queued) - maxQueuedDocuments; over > 0 {
		account.AddDropped(over)
		c.queued = c.queued[over:]
	}
}

func (c *serviceCounts) byStream() map[delivery.Stream][]*delivery.Item {
	all := map[delivery.Stream][]*delivery.Item{}
	for i := range c.queued {
		all[c.queued[i].to] = append(all[c.queued[i].to], &c.queued[i].item)
	}
	return all
}

func (c *serviceCounts) removeDelivered() {
	kept := c.queued[:0]
	for _, q := range c.queued {
		if !q.item.Settled {
			kept = append(kept, q)
		}
	}
	clear(c.queued[len(kept):])
	c.queued = kept
}
