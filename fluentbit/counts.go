package fluentbit

import (
	"context"
	"sync"
	"time"

	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/fluentbit/emf"
	"github.com/nova/novawire/fluentbit/record"
)

// serviceCounts adds up what delivered lines count for and keeps the documents
// that wait for delivery. A line that is sent twice is counted once.
type serviceCounts struct {
	accumulator emf.Accumulator
	mu          sync.Mutex
	queued      []queuedDocument // oldest first
}

// countedEvent is the Data of an item with a tally.
type countedEvent struct {
	service emf.Service
	tally   record.Tally
}

type queuedDocument struct {
	to   delivery.Stream
	item delivery.Item
}

func (c *serviceCounts) delivered(data any) {
	if e, ok := data.(countedEvent); ok {
		c.accumulator.Add(e.service, e.tally)
	}
}

// maxQueuedDocuments is the number of documents that wait during an outage: one
// service makes as many in a day, 24 services in an hour.
const maxQueuedDocuments = 1440

// reportCounts delivers the documents of each minute after its end, and those of
// the last minute when the output stops.
func (o *Output) reportCounts() {
	for o.settings.Clock.Wait(o.ctx, untilMinute(o.settings.Clock.Now())) == nil {
		o.deliverCounts(o.ctx, o.settings.Clock.Now().Truncate(time.Minute).Add(-time.Minute), o.config.FlushTimeout)
	}
	<-o.countingEnded
	o.deliverCounts(context.WithoutCancel(o.ctx), o.settings.Clock.Now().Truncate(time.Minute), CloseTimeout)
}

func untilMinute(now time.Time) time.Duration {
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// deliverCounts queues the documents of a minute and delivers all that are queued.
func (o *Output) deliverCounts(ctx context.Context, minute time.Time, timeout time.Duration) {
	defer o.recoverPanic("deliver counts", func() {})
	o.queueDocuments(minute)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_ = o.settings.Clock.Wait(ctx, timeout)
		cancel()
	}()
	defer cancel()
	o.counts.mu.Lock()
	defer o.counts.mu.Unlock()
	var sending sync.WaitGroup
	for to, items := range o.counts.byStream() {
		sending.Go(func() {
			defer o.recoverPanic("deliver counts", func() {})
			o.sender.Deliver(ctx, to, items)
		})
	}
	sending.Wait()
	o.counts.removeDelivered()
}

// queueDocuments queues the documents of a minute. If too many wait, it drops and
// counts the oldest.
func (o *Output) queueDocuments(minute time.Time) {
	c := &o.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	counters := o.sender.Ledger.Class(delivery.Metrics)
	for service, tally := range c.accumulator.Take() {
		text := emf.Document(o.config.MetricsNamespace, service, *tally, minute.UnixMilli(), o.config.Node)
		entry, size := record.AppendEntry(nil, minute.UnixMilli(), text)
		to, _ := service.Destination.(delivery.Stream)
		c.queued = append(c.queued, queuedDocument{to, delivery.Item{Time: minute.UnixMilli(), Size: size, Entry: entry}})
		counters.Accepted.Add(1)
	}
	if excess := len(c.queued) - maxQueuedDocuments; excess > 0 {
		counters.AddDropped(excess)
		c.queued = c.queued[excess:]
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
