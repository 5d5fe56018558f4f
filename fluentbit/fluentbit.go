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

// Verdict is what Fluent Bit is told of a chunk, with the numbers of its API.
type Verdict int

// The verdicts. Failed drops a chunk; nothing here ever says so.
const (
	Failed Verdict = iota
	Done
	Again
)

// Settings are what an output is made of beside its configuration.
type Settings struct {
	Service delivery.Service
	Clock   delivery.Clock
	// Pace is the account's: outputs of one account and Region share it.
	Pace   *delivery.Pace
	Jitter func(time.Duration) time.Duration
	// Trouble is told of errors, for a log.
	Trouble func(error)
}

// Output is one instance of the plugin. Its methods are for any number of
// goroutines, but for Close.
type Output struct {
	config Config
	set    Settings
	sender *delivery.Sender
	pods   *record.Pods
	past   *delivery.Progress
	counts counts

	life      context.Context //nolint:containedctx // of the callbacks, which have none
	end       context.CancelFunc
	running   sync.WaitGroup // hands
	silence   chan struct{}  // closed: no more is counted
	reporting sync.WaitGroup
	closing   sync.Once
	benches   benches
	slots     chan *handed
	work      chan *handed

	chunks, again, panics, undecodable atomic.Int64
}

// places of a pod: what record.Pods remembers of where its lines go.
type places struct {
	lines  delivery.Stream
	counts emf.Service
}

const (
	backoff    = 200 * time.Millisecond
	maxBackoff = 5 * time.Second
	// pastBytes bounds what is remembered of chunks that come again: at a few
	// hundred bytes a chunk, more than Fluent Bit has in memory.
	pastBytes = 8 << 20
)

// New starts an output.
func New(c Config, set Settings) *Output {
	life, end := context.WithCancel(context.Background())
	o := &Output{config: c, set: set, past: delivery.NewProgress(pastBytes), life: life, end: end, silence: make(chan struct{})}
	o.pods = &record.Pods{Locate: o.locate, Node: c.Node, Whole: c.WholeKubernetes}
	o.sender = delivery.New(set.Service, delivery.Settings{
		Clock: set.Clock, Pace: set.Pace, Retention: c.Retention, Backoff: backoff, MaxBackoff: maxBackoff,
		Jitter: set.Jitter, Trouble: set.Trouble, Delivered: o.counts.delivered,
	})
	o.startHands()
	if c.MetricsNamespace != "" {
		o.reporting.Go(o.report)
	}
	return o
}

// lastWords is how long each half of an ending may take: what is under way, and
// the counts of the last minute. Fluent Bit gives its plugins five seconds (Grace).
const lastWords = 2 * time.Second

// Close ends what is under way, lets the counts out and waits for all of it.
// Chunks that are not delivered by then are answered Again. Only the first call
// does something.
func (o *Output) Close() { o.closing.Do(o.close) }

func (o *Output) close() {
	o.end()
	ctx, enough := context.WithCancel(context.Background())
	var hurrying sync.WaitGroup
	hurrying.Go(func() {
		if o.set.Clock.Wait(ctx, lastWords) == nil {
			o.sender.Stop()
		}
	})
	o.running.Wait()
	enough()
	hurrying.Wait()
	close(o.silence)
	o.reporting.Wait()
	o.sender.Close()
}

func (o *Output) locate(p *record.Pod) any {
	class := delivery.Pods
	if !p.Known() {
		class = delivery.Node
	}
	group := o.config.Group.Fill(p)
	return &places{
		lines: delivery.Stream{Group: group, Name: o.config.Stream.Fill(p), Class: class},
		counts: emf.Service{Namespace: p.Namespace, Name: p.Service, Place: delivery.Stream{
			Group: group, Name: o.config.MetricsStream.Fill(&record.Pod{Namespace: p.Namespace, Service: p.Service, Node: p.Node}), Class: delivery.Metrics,
		}},
	}
}

// Flush delivers a chunk. data is not used after it returns.
func (o *Output) Flush(data []byte, tag string) (v Verdict) {
	o.chunks.Add(1)
	bench := o.benches.take(o.pods)
	defer o.rescue("deliver chunk", func() { v = Again }) // and the bench is lost: nobody knows who still uses it
	chunk := bench.decoder.Decode(data, tag, o.set.Clock.Now().UnixMilli())
	items := bench.lay(chunk)
	o.begin(data, tag, chunk, items)
	v = Done
	if !o.deliver(bench, chunk, items) {
		o.again.Add(1)
		o.past.Leave(data, tag, items)
		v = Again
	}
	o.benches.put(bench)
	return v
}

// rescue keeps a mistake of ours from ending Fluent Bit, which it is deferred for.
func (o *Output) rescue(step string, then func()) {
	if r := recover(); r != nil {
		o.panics.Add(1)
		o.set.Trouble(fmt.Errorf("%s: panic: %v", step, r))
		then()
	}
}

// begin accepts the events of a new chunk, and takes up one that came before.
func (o *Output) begin(data []byte, tag string, chunk *record.Chunk, items []delivery.Item) {
	if remains := o.past.Take(data, tag); remains != nil {
		remains.Restore(items)
		for i := range items {
			if items[i].Settled {
				o.account(&chunk.Events[i]).Resumed.Add(1)
			}
		}
		return
	}
	o.undecodable.Add(int64(chunk.Undecodable))
	o.panics.Add(int64(chunk.Panics))
	for i := range chunk.Events {
		o.account(&chunk.Events[i]).Accepted.Add(1)
	}
}

func (o *Output) account(e *record.Event) *delivery.Account {
	return o.sender.Ledger.Of(e.Pod.Place.(*places).lines.Class)
}

// deliver brings each stream its events, all streams at once.
func (o *Output) deliver(bench *bench, chunk *record.Chunk, items []delivery.Item) bool {
	ctx, cancel := context.WithCancel(o.life)
	defer cancel()
	streams := bench.sort(chunk, items)
	var missing atomic.Bool
	bring := func(s *share) {
		defer o.rescue("deliver to "+s.to.Name, func() { missing.Store(true) })
		if !o.sender.Deliver(ctx, s.to, s.items) {
			missing.Store(true)
		}
	}
	var delivering sync.WaitGroup
	timer := o.deadline(ctx, cancel)
	for _, s := range streams {
		delivering.Go(func() { bring(s) })
	}
	delivering.Wait()
	cancel()
	<-timer
	return !missing.Load()
}

// deadline ends a delivery that takes too long; it is over when the channel is closed.
func (o *Output) deadline(ctx context.Context, cancel context.CancelFunc) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = o.set.Clock.Wait(ctx, o.config.FlushTimeout)
		cancel()
	}()
	return over
}

// share is what one stream gets of a chunk.
type share struct {
	to    delivery.Stream
	items []*delivery.Item
}

// bench is the memory that a chunk is worked on with, and the next.
type bench struct {
	decoder record.Decoder
	items   []delivery.Item
	shares  map[delivery.Stream]*share
}

// lay makes an item of each event.
func (b *bench) lay(chunk *record.Chunk) []delivery.Item {
	b.items = b.items[:0]
	for i := range chunk.Events {
		e := &chunk.Events[i]
		item := delivery.Item{Time: e.Time, Size: e.Size, Entry: chunk.Entry(e)}
		if t := chunk.Tally(e); t != (record.Tally{}) {
			item.Mark = tallied{e.Pod.Place.(*places).counts, t}
		}
		b.items = append(b.items, item)
	}
	return b.items
}

// sort puts the items that are not settled where they go, in order of time;
// those of one time stay in the order that they came in.
func (b *bench) sort(chunk *record.Chunk, items []delivery.Item) []*share {
	b.shares = map[delivery.Stream]*share{}
	var all []*share
	var last *share
	for i := range items {
		if items[i].Settled {
			continue
		}
		if to := chunk.Events[i].Pod.Place.(*places).lines; last == nil || last.to != to {
			if last = b.shares[to]; last == nil {
				last = &share{to: to}
				b.shares[to] = last
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
