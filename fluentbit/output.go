// Package fluentbit is the Fluent Bit output plugin in plain Go: it delivers the
// events of chunks to CloudWatch Logs. The cgo half in cmd/novawire-fluentbit
// calls it from Fluent Bit's callbacks.
//
// A chunk returns OK when each of its events is stored, or counted with the
// reason why it cannot be stored. Otherwise it returns Retry; when Fluent Bit
// flushes the chunk again, events that are stored are not sent again.
package fluentbit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nova/novawire/api/redaction"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/fluentbit/emf"
	"github.com/nova/novawire/fluentbit/podfiles"
	"github.com/nova/novawire/fluentbit/record"
	"github.com/nova/novawire/internal/redact"
)

// Result is the return code of a flush, with the numbers of Fluent Bit's API.
type Result int

// The results. Error makes Fluent Bit drop the chunk; this package never returns it.
const (
	Error Result = iota
	OK
	Retry
)

// Settings are the dependencies of an output.
type Settings struct {
	Service delivery.Service
	Clock   delivery.Clock
	// Limiter limits the requests to one account and region. Outputs share it.
	Limiter *delivery.RateLimiter
	Jitter  func(time.Duration) time.Duration
	// OnError receives errors of delivery, which are retried.
	OnError func(error)
}

// Output is one instance of the plugin. All methods are safe for concurrent use.
type Output struct {
	config      Config
	settings    Settings
	sender      *delivery.Sender
	pods        *record.Pods
	redact      *redact.Rules // nil for none
	redacted    [redaction.MaxNames]atomic.Int64
	checkpoints *delivery.Checkpoints
	counts      serviceCounts

	ctx           context.Context //nolint:containedctx // Fluent Bit's callbacks have none
	cancel        context.CancelFunc
	workers       sync.WaitGroup
	countingEnded chan struct{} // closed when no more events can be delivered
	reporter      sync.WaitGroup
	draining      sync.Once
	closing       sync.Once
	buffers       bufferPool
	idleJobs      chan *job
	jobs          chan *job

	chunks, retriedChunks, panics, undecodable atomic.Int64
	lastInput                                  atomic.Pointer[inputLag]
}

// destination is where the lines and the counts of a pod go. record.Pods keeps it.
type destination struct {
	lines  delivery.Stream
	counts emf.Service
}

const (
	backoff    = 200 * time.Millisecond
	maxBackoff = 5 * time.Second
	// maxCheckpointBytes bounds the memory for checkpoints of chunks that will be
	// retried. A checkpoint takes a few hundred bytes, so this covers more chunks
	// than Fluent Bit holds in memory.
	maxCheckpointBytes = 8 << 20
)

// New starts an output.
func New(c Config, set Settings) *Output {
	ctx, cancel := context.WithCancel(context.Background())
	o := &Output{config: c, settings: set, checkpoints: delivery.NewCheckpoints(maxCheckpointBytes), ctx: ctx, cancel: cancel, countingEnded: make(chan struct{})}
	o.pods = &record.Pods{Describe: describe(c.PodFiles), Destination: o.destinationOf, Node: c.Node, ServiceNameLabels: c.ServiceNameLabels, AllMetadata: c.AllMetadata}
	o.redact = redact.New(c.Redact, c.RedactKey)
	o.pods.Redact = o.redact.Redactor()
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

// Drain prepares the end of the process, before Fluent Bit stops its workers: it
// delivers the counts so far, lets deliveries go on for ShutdownTimeout, and then
// answers Retry at once to all chunks. Fluent Bit keeps them on disk. Without it
// each chunk would hold a worker for FlushTimeout, one after the other.
func (o *Output) Drain() { o.draining.Do(o.drain) }

func (o *Output) drain() {
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	var counting sync.WaitGroup
	if o.config.MetricsNamespace != "" {
		counting.Go(func() {
			o.deliverCounts(ctx, o.settings.Clock.Now().Truncate(time.Minute), o.config.ShutdownTimeout)
		})
	}
	_ = o.settings.Clock.Wait(o.ctx, o.config.ShutdownTimeout)
	cancel()
	counting.Wait()
	o.stopDelivery()
}

// stopDelivery cancels deliveries and gives requests that are under way
// CloseTimeout to end.
func (o *Output) stopDelivery() {
	o.cancel()
	ctx, workersEnded := context.WithCancel(context.Background())
	var timeout sync.WaitGroup
	timeout.Go(func() {
		if o.settings.Clock.Wait(ctx, CloseTimeout) == nil {
			o.sender.Stop()
		}
	})
	o.workers.Wait()
	workersEnded()
	timeout.Wait()
}

// CloseTimeout bounds each of the two steps of Close: requests that are under
// way, then the counts of the last minute.
const CloseTimeout = 2 * time.Second

// Close stops delivery, delivers the counts of the last minute and waits for
// both. Chunks that are not delivered by then return Retry. Further calls do
// nothing.
func (o *Output) Close() { o.closing.Do(o.close) }

func (o *Output) close() {
	o.stopDelivery()
	close(o.countingEnded)
	o.reporter.Wait()
	o.sender.Close()
}

func (o *Output) destinationOf(p *record.Pod) any {
	class, group := delivery.Pods, o.config.Group.Fill(p)
	switch {
	case !p.Known():
		class = delivery.Node
	case p.Undecided:
		class, group = delivery.Undecided, o.config.UndecidedGroup.Fill(p)
	}
	return &destination{
		lines: delivery.Stream{Group: group, Name: o.config.Stream.Fill(p), Class: class},
		counts: emf.Service{Namespace: p.Namespace, Name: p.Service, Destination: delivery.Stream{
			Group: group, Name: o.config.MetricsStream.Fill(&record.Pod{Namespace: p.Namespace, Service: p.Service, Node: p.Node}), Class: delivery.Metrics,
		}},
	}
}

// describe returns a function that reads the agent's descriptions of pods, or nil.
func describe(dir string) func(namespace, pod, container string) (record.Description, bool) {
	if dir == "" {
		return nil
	}
	return func(namespace, pod, container string) (record.Description, bool) {
		p, ok := podfiles.Describe(dir, namespace, pod)
		return record.Description{Service: p.ServiceOf(container), Undecided: p.Undecided}, ok
	}
}

// Flush delivers a chunk. It does not keep data.
func (o *Output) Flush(data []byte, tag string) (result Result) {
	o.chunks.Add(1)
	buffer := o.buffers.take(o.pods, o.redact)
	// After a panic the buffer is not reused: a goroutine may still refer to it.
	defer o.recoverPanic("deliver chunk", func() { result = Retry })
	chunk := buffer.decoder.Decode(data, tag, o.settings.Clock.Now().UnixMilli())
	items := buffer.itemsOf(chunk)
	o.accept(data, tag, chunk, items)
	result = OK
	if !o.deliver(buffer, chunk, items) {
		o.retriedChunks.Add(1)
		o.checkpoints.Save(data, tag, items)
		result = Retry
	}
	o.buffers.put(buffer)
	return result
}

// recoverPanic is deferred around our code so that a panic does not end Fluent Bit.
func (o *Output) recoverPanic(step string, then func()) {
	if r := recover(); r != nil {
		o.panics.Add(1)
		o.settings.OnError(fmt.Errorf("%s: panic: %v", step, r))
		then()
	}
}

// accept counts the events of a new chunk, or restores the checkpoint of one that
// is retried.
func (o *Output) accept(data []byte, tag string, chunk *record.Chunk, items []delivery.Item) {
	if checkpoint := o.checkpoints.Take(data, tag); checkpoint != nil {
		checkpoint.Restore(items)
		for i := range items {
			if items[i].Settled {
				o.countersOf(&chunk.Events[i]).Resumed.Add(1)
			}
		}
		return
	}
	o.recordInputLag(chunk)
	o.undecodable.Add(int64(chunk.Undecodable))
	o.panics.Add(int64(chunk.Panics))
	for rule, n := range chunk.Redacted {
		o.redacted[rule].Add(int64(n))
	}
	for i := range chunk.Events {
		o.countersOf(&chunk.Events[i]).Accepted.Add(1)
	}
}

// recordInputLag records how old the newest event of a new chunk is: how far
// reading is behind writing.
func (o *Output) recordInputLag(chunk *record.Chunk) {
	var newest int64
	for i := range chunk.Events {
		newest = max(newest, chunk.Events[i].Time)
	}
	if newest > 0 {
		now := o.settings.Clock.Now()
		o.lastInput.Store(&inputLag{at: now, lag: max(0, now.Sub(time.UnixMilli(newest)))})
	}
}

// inputLag is how far reading was behind when a new chunk came.
type inputLag struct {
	at  time.Time
	lag time.Duration
}

// inputLagValidFor is how long a lag is valid without a new chunk: then nothing is
// written, and the last chunk may have been the old lines of a quiet pod.
const inputLagValidFor = time.Minute

func (o *Output) inputLag() time.Duration {
	last := o.lastInput.Load()
	if last == nil || o.settings.Clock.Now().Sub(last.at) > inputLagValidFor {
		return 0
	}
	return last.lag
}

// notReadyAfter is how long requests may fail, or reading may be behind, before
// an output is not ready.
const notReadyAfter = 5 * time.Minute

// Ready returns nil, or an error that says why lines do not arrive in time.
func (o *Output) Ready() error {
	if d := o.sender.Ledger.Failing(o.settings.Clock.Now()); d > notReadyAfter {
		return fmt.Errorf("no request to CloudWatch Logs has succeeded for %s", d.Round(time.Second))
	}
	if lag := o.inputLag(); lag > notReadyAfter {
		return fmt.Errorf("lines are read %s after they were written", lag.Round(time.Second))
	}
	return nil
}

// destinationIn returns what destinationOf returned for the pod.
func destinationIn(p *record.Pod) *destination {
	d, _ := p.Destination.(*destination)
	return d
}

func (o *Output) countersOf(e *record.Event) *delivery.Counters {
	return o.sender.Ledger.Class(destinationIn(e.Pod).lines.Class)
}

// deliver sends the items to their streams concurrently and reports whether all
// are settled.
func (o *Output) deliver(b *buffer, chunk *record.Chunk, items []delivery.Item) bool {
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	var incomplete atomic.Bool
	send := func(s *streamItems) {
		defer o.recoverPanic("deliver to "+s.to.Name, func() { incomplete.Store(true) })
		if !o.sender.Deliver(ctx, s.to, s.items) {
			incomplete.Store(true)
		}
	}
	var sending sync.WaitGroup
	timer := o.cancelAfterTimeout(ctx, cancel)
	for _, s := range b.byStream(chunk, items) {
		sending.Go(func() { send(s) })
	}
	sending.Wait()
	cancel()
	<-timer
	return !incomplete.Load()
}

// cancelAfterTimeout cancels ctx after FlushTimeout. The channel it returns is
// closed when its goroutine has ended.
func (o *Output) cancelAfterTimeout(ctx context.Context, cancel context.CancelFunc) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = o.settings.Clock.Wait(ctx, o.config.FlushTimeout)
		cancel()
	}()
	return ended
}
