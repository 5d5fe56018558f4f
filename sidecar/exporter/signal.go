package exporter

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/nova/novawire/sidecar/ledger"
)

// signalExporter exports one signal: it has a queue, and sends one request at a time.
type signalExporter struct {
	config      *Config
	signal      ledger.Signal
	stats       *ledger.Counters
	drain       *drain
	credentials aws.CredentialsProvider
	notices     *notices

	sender   sender        // nil: no backend takes this signal
	maxBytes int           // of a request: what the backend took last; the consumer writes it, under mu
	lastErr  error         // of the last request that failed; the consumer's alone
	wake     chan struct{} // the queue has become worth a look
	done     chan struct{} // closed: the consumer has ended

	mu      sync.Mutex // guards what follows
	queue   queue
	settled ledger.Totals // of the batch under way, which the drain interrupted
	storage storage
}

func newSignalExporter(config *Config, logger *zap.Logger, signal ledger.Signal, stats *ledger.Counters, d *drain, credentials aws.CredentialsProvider) *signalExporter {
	logger = logger.With(zap.Stringer("signal", signal))
	return &signalExporter{
		config: config, signal: signal, stats: stats, drain: d, credentials: credentials, notices: newNotices(logger),
		maxBytes: config.Batch.Bytes,
		wake:     make(chan struct{}, 1), done: make(chan struct{}),
		queue: queue{limit: config.QueueBytes}, storage: storage{logger: logger},
	}
}

// Start connects lazily: a backend that is away does not stop the sidecar from starting.
func (e *signalExporter) Start(context.Context, component.Host) error {
	if target, ok := e.config.Targets[e.signal.String()]; ok {
		s, err := newSender(e.config, target, e.signal, e.credentials)
		if err != nil {
			return err
		}
		e.sender = s
		e.restore()
	}
	e.stats.SetQueue(e.queue.bytes, e.queue.limit)
	go e.run() //nolint:contextcheck // it ends with the drain, the context of Start when it has started
	return nil
}

// push queues an item for the backend, or drops it where there is none.
func (e *signalExporter) push(i item) {
	if e.sender == nil {
		e.stats.Drop(ledger.NoBackend, i.count)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i.id = e.storage.append(i.count, i.body)
	for _, dropped := range e.queue.push(i) {
		e.dropOldest(dropped)
	}
	e.stats.SetQueue(e.queue.bytes, e.queue.limit)
	e.storage.maintain(&e.queue)
	if full, _ := e.queue.ready(e.batchLimits(), e.config.FlushInterval, i.since); full || len(e.queue.waiting) == 1 {
		e.notify()
	}
}

// dropOldest counts an item that made room for a newer one.
func (e *signalExporter) dropOldest(i item) {
	e.stats.Drop(ledger.QueueFull, i.count)
	e.storage.settle([]item{i}, dropped(ledger.QueueFull, i.count))
	e.notices.warn("queue_full", "queue is full; its oldest items are dropped", zap.Int("items", i.count), zap.Int64("queue_bytes", e.queue.limit))
}

// dropOversize counts items that no request may hold.
func (e *signalExporter) dropOversize(items int) {
	e.stats.Drop(ledger.Oversize, items)
	e.notices.warn("oversize", "items dropped: each is larger than the backend takes", zap.Int("items", items), zap.Int("batch_bytes", e.config.Batch.Bytes), zap.Int("item_bytes", e.config.Batch.ItemBytes))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.storage.note(dropped(ledger.Oversize, items))
}

func dropped(why ledger.Reason, items int) (t ledger.Totals) {
	t.Dropped[why] = int64(items)
	return t
}

func (e *signalExporter) notify() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *signalExporter) run() {
	defer close(e.done)
	for batch, ok := e.gather(); ok; batch, ok = e.gather() {
		e.send(batch)
	}
}

// batchLimits are the configured ones, or less where the backend took less.
func (e *signalExporter) batchLimits() (limits batchLimits) {
	return batchLimits{bytes: min(e.config.Batch.Bytes, e.maxBytes), items: e.config.Batch.Items}
}

// gather waits for a batch; false: the queue is drained, or the drain is over. The items
// stay the queue's, because a rewrite of the journal numbers them anew.
func (e *signalExporter) gather() (batch request, ok bool) {
	for {
		draining := e.drain.hasBegun() // before the look: nothing is queued after it
		e.mu.Lock()
		full, wait := e.queue.ready(e.batchLimits(), e.config.FlushInterval, time.Now())
		if (full || draining && wait >= 0) && e.drain.life.Err() == nil {
			batch = requestOf(e.queue.take(e.batchLimits()))
			e.mu.Unlock()
			return batch, true
		}
		e.mu.Unlock()
		if draining {
			return request{}, false
		}
		e.waitForItems(wait)
	}
}

// waitForItems waits for the next item, for the flush interval, or for the drain.
func (e *signalExporter) waitForItems(wait time.Duration) {
	var flush <-chan time.Time
	if wait >= 0 {
		flush = time.After(wait)
	}
	select {
	case <-e.wake:
	case <-flush:
	case <-e.drain.begun:
	}
}

// Shutdown lets the queue drain for as long as the drain may take, and then counts
// what is left.
func (e *signalExporter) Shutdown(context.Context) error {
	e.drain.begin(e.config.DrainTimeout)
	<-e.done
	if e.sender != nil {
		e.sender.close()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	stored, left := e.storage.close(&e.queue)
	e.stats.SetStored(stored)
	if e.storage.journal == nil { // otherwise the next run sends and counts the batch as a whole
		e.count(e.settled)
		left -= total(e.settled)
	}
	if left > 0 {
		e.stats.Drop(ledger.Shutdown, left)
		e.notices.warn("shutdown", "items dropped: the queue did not drain in time", zap.Int("items", left), zap.Duration("drain_timeout", e.config.DrainTimeout), zap.NamedError("last_error", e.lastErr))
	}
	return nil
}

var _ component.Component = (*signalExporter)(nil)
