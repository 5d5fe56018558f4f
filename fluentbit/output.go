// Package fluentbit is the Fluent Bit output plugin without C: it takes chunks
// and brings their events to CloudWatch Logs. The shim of C in
// cmd/novawire-fluentbit hands it what Fluent Bit hands over.
//
// A chunk is answered OK when each of its events is stored, or counted with the
// reason why it never will be; else Fluent Bit is asked to bring it again, and
// what was stored by then is not stored twice.
package fluentbit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/fluentbit/emf"
	"github.com/nova/novawire/fluentbit/record"
)

// Result is what Fluent Bit is told of a chunk, with the numbers of its API.
type Result int

// The verdicts. Failed drops a chunk; nothing here ever says so.
const (
	Error Result = iota
	OK
	Retry
)

// Settings are what an output is made of beside its configuration.
type Settings struct {
	Service delivery.Service
	Clock   delivery.Clock
	// Limiter is the account's: outputs of one account and Region share it.
	Limiter *delivery.RateLimiter
	Jitter  func(time.Duration) time.Duration
	// OnError is told of errors, for a log.
	OnError func(error)
}

// Output is one instance of the plugin. Its methods are for any number of
// goroutines, but for Close.
type Output struct {
	config      Config
	settings    Settings
	sender      *delivery.Sender
	pods        *record.Pods
	checkpoints *delivery.Checkpoints
	counts      serviceCounts

	ctx           context.Context //nolint:containedctx // of the callbacks, which have none
	cancel        context.CancelFunc
	workers       sync.WaitGroup // hands
	countingEnded chan struct{}  // closed: no more is counted
	reporter      sync.WaitGroup
	closing       sync.Once
	buffers       bufferPool
	idleJobs      chan *job
	jobs          chan *job

	chunks, retriedChunks, panics, undecodable atomic.Int64
}

// destination of a pod: what record.Pods remembers of where its lines go.
type destination struct {
	lines  delivery.Stream
	counts emf.Service
}

const (
	backoff    = 200 * time.Millisecond
	maxBackoff = 5 * time.Second
	// maxCheckpointBytes bounds what is remembered of chunks that come again: at a few
	// hundred bytes a chunk, more than Fluent Bit has in memory.
	maxCheckpointBytes = 8 << 20
)

// New starts an output.
func New(c Config, set Settings) *Output {
	life, end := context.WithCancel(context.Background())
	o := &Output{config: c, settings: set, checkpoints: delivery.NewCheckpoints(maxCheckpointBytes), ctx: life, cancel: end, countingEnded: make(chan struct{})}
	o.pods = &record.Pods{Destination: o.destinationOf, Node: c.Node, AllMetadata: c.WholeKubernetes}
	o.sender = delivery.New(set.Service, delivery.Settings{
		Clock: set.Clock, Limiter: set.Limiter, Retention: c.Retention, Backoff: backoff, MaxBackoff: maxBackoff,
		Jitter: set.Jitter, OnError: set.OnError, OnDelivered: o.counts.delivered,
	})
	o.startWorkers()
	if c.MetricsNamespace != "" {
		o.reporter.Go(o.reportCounts)
	}
	return o
}

// closeTimeout is how long each half of an ending may take: what is under way, and
// the counts of the last minute. Fluent Bit gives its plugins five seconds (Grace).
const closeTimeout = 2 * time.Second

// Close ends what is under way, lets the counts out and waits for all of it.
// Chunks that are not delivered by then are answered Again. Only the first call
// does something.
func (o *Output) Close() { o.closing.Do(o.close) }

func (o *Output) close() {
	o.cancel()
	ctx, enough := context.WithCancel(context.Background())
	var hurrying sync.WaitGroup
	hurrying.Go(func() {
		if o.settings.Clock.Wait(ctx, closeTimeout) == nil {
			o.sender.Stop()
		}
	})
	o.workers.Wait()
	enough()
	hurrying.Wait()
	close(o.countingEnded)
	o.reporter.Wait()
	o.sender.Close()
}

func (o *Output) destinationOf(p *record.Pod) any {
	class := delivery.Pods
	if !p.Known() {
		class = delivery.Node
	}
	group := o.config.Group.Fill(p)
	return &destination{
		lines: delivery.Stream{Group: group, Name: o.config.Stream.Fill(p), Class: class},
		counts: emf.Service{Namespace: p.Namespace, Name: p.Service, Destination: delivery.Stream{
			Group: group, Name: o.config.MetricsStream.Fill(&record.Pod{Namespace: p.Namespace, Service: p.Service, Node: p.Node}), Class: delivery.Metrics,
		}},
	}
}

// Flush delivers a chunk. data is not used after it returns.
func (o *Output) Flush(data []byte, tag string) (v Result) {
	o.chunks.Add(1)
	bench := o.buffers.take(o.pods)
	defer o.recoverPanic("deliver chunk", func() { v = Retry }) // and the bench is lost: nobody knows who still uses it
	chunk := bench.decoder.Decode(data, tag, o.settings.Clock.Now().UnixMilli())
	items := bench.itemsOf(chunk)
	o.accept(data, tag, chunk, items)
	v = OK
	if !o.deliver(bench, chunk, items) {
		o.retriedChunks.Add(1)
		o.checkpoints.Save(data, tag, items)
		v = Retry
	}
	o.buffers.put(bench)
	return v
}

// recoverPanic keeps a mistake of ours from ending Fluent Bit, which it is deferred for.
func (o *Output) recoverPanic(step string, then func()) {
	if r := recover(); r != nil {
		o.panics.Add(1)
		o.settings.OnError(fmt.Errorf("%s: panic: %v", step, r))
		then()
	}
}

// accept accepts the events of a new chunk, and takes up one that came before.
func (o *Output) accept(data []byte, tag string, chunk *record.Chunk, items []delivery.Item) {
	if remains := o.checkpoints.Take(data, tag); remains != nil {
		remains.Restore(items)
		for i := range items {
			if items[i].Settled {
				o.countersOf(&chunk.Events[i]).Resumed.Add(1)
			}
		}
		return
	}
	o.undecodable.Add(int64(chunk.Undecodable))
	o.panics.Add(int64(chunk.Panics))
	for i := range chunk.Events {
		o.countersOf(&chunk.Events[i]).Accepted.Add(1)
	}
}

func (o *Output) countersOf(e *record.Event) *delivery.Counters {
	return o.sender.Ledger.Class(e.Pod.Destination.(*destination).lines.Class)
}

// deliver brings each stream its events, all streams at once.
func (o *Output) deliver(bench *buffer, chunk *record.Chunk, items []delivery.Item) bool {
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	streams := bench.byStream(chunk, items)
	var missing atomic.Bool
	bring := func(s *streamItems) {
		defer o.recoverPanic("deliver to "+s.to.Name, func() { missing.Store(true) })
		if !o.sender.Deliver(ctx, s.to, s.items) {
			missing.Store(true)
		}
	}
	var delivering sync.WaitGroup
	timer := o.cancelAfterTimeout(ctx, cancel)
	for _, s := range streams {
		delivering.Go(func() { bring(s) })
	}
	delivering.Wait()
	cancel()
	<-timer
	return !missing.Load()
}

// cancelAfterTimeout ends a delivery that takes too long; it is over when the channel is closed.
func (o *Output) cancelAfterTimeout(ctx context.Context, cancel context.CancelFunc) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = o.settings.Clock.Wait(ctx, o.config.FlushTimeout)
		cancel()
	}()
	return over
}

// streamItems is what one stream gets of a chunk.
type streamItems struct {
	to    delivery.Stream
	items []*delivery.Item
}

// buffer is the memory that a chunk is worked on with, and the next.
type buffer struct {
	decoder record.Decoder
	items   []delivery.Item
	streams map[delivery.Stream]*streamItems
}

// itemsOf makes an item of each event.
func (b *buffer) itemsOf(chunk *record.Chunk) []delivery.Item {
	b.items = b.items[:0]
	for i := range chunk.Events {
		e := &chunk.Events[i]
		item := delivery.Item{Time: e.Time, Size: e.Size, Entry: chunk.Entry(e)}
		if t := chunk.Tally(e); t != (record.Tally{}) {
			item.Data = countedEvent{e.Pod.Destination.(*destination).counts, t}
		}
		b.items = append(b.items, item)
	}
	return b.items
}

// byStream puts the items that are not settled where they go, in order of time;
// those of one time stay in the order that they came in.
func (b *buffer) byStream(chunk *record.Chunk, items []delivery.Item) []*streamItems {
	b.streams = map[delivery.Stream]*streamItems{}
	var all []*streamItems
	var last *streamItems
	for i := range items {
		if items[i].Settled {
			continue
		}
		if to := chunk.Events[i].Pod.Destination.(*destination).lines; last == nil || last.to != to {
			if last = b.streams[to]; last == nil {
				last = &streamItems{to: to}
				b.streams[to] = last
				all = append(all, last)
			}
		}
		last.items = append(last.items, &items[i])
	}
	for _, s := range all {
		if !slices.IsSortedFunc(s.items, byTime) {
			slices.SortStableFunc(s.items, byTime)
		}
	}
	return all
}

func byTime(a, b *delivery.Item) int { return cmp.Compare(a.Time, b.Time) }
