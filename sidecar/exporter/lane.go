package exporter

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"

	"github.com/nova/novawire/sidecar/journal"
	"github.com/nova/novawire/sidecar/ledger"
)

// lane is the way of one signal: its queue, and one request at a time.
type lane struct {
	config  *Config
	set     exporter.Settings
	signal  ledger.Signal
	account *ledger.Account
	drain   *drain

	sender sender        // nil: no backend takes this signal
	wake   chan struct{} // there is something to gather
	done   chan struct{} // closed: the lane has ended

	mu      sync.Mutex // guards what follows
	queue   queue
	journal *journal.Journal // nil: memory alone
}

func newLane(config *Config, set exporter.Settings, signal ledger.Signal, account *ledger.Account, d *drain) *lane {
	return &lane{
		config: config, set: set, signal: signal, account: account, drain: d,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		queue: queue{limit: config.QueueBytes},
	}
}

// Start connects lazily: a backend that is away is no reason not to start.
func (l *lane) Start(_ context.Context, host component.Host) error {
	if target, ok := l.config.Targets[l.signal.String()]; ok {
		s, err := newSender(l.config, target, l.signal, host)
		if err != nil {
			return err
		}
		l.sender = s
		l.restore()
	}
	l.account.Queue(l.queue.bytes, l.queue.limit)
	go l.run() //nolint:contextcheck // lives as long as the drain lets it
	return nil
}

// push queues an item for the backend, or drops it where there is none.
func (l *lane) push(i item) {
	if l.sender == nil {
		l.account.Drop(ledger.NoBackend, i.count)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record(&i)
	for _, gone := range l.queue.push(i) {
		l.drop(gone)
	}
	l.account.Queue(l.queue.bytes, l.queue.limit)
	l.compact()
	if full, _ := l.queue.ripe(l.config.Batch, l.config.FlushInterval, i.since); full || len(l.queue.waiting) == 1 {
		l.poke()
	}
}

// drop books an item that had to make room.
func (l *lane) drop(gone item) {
	l.account.Drop(ledger.QueueFull, gone.count)
	l.strike(gone, gone, journal.Outcome{Dropped: ledger.QueueFull, Items: gone.count})
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) fits(bytes, items int) bool {
	if items == 1 && l.config.Batch.ItemBytes > 0 && bytes > l.config.Batch.ItemBytes {
		return false
	}
	return bytes <= l.config.Batch.Bytes && items <= l.config.Batch.Items
}

// oversize drops an item that no request may hold.
func (l *lane) oversize() {
	l.account.Drop(ledger.Oversize, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.journal != nil {
		l.kept(l.journal.Note(journal.Outcome{Dropped: ledger.Oversize, Items: 1}))
	}
}

func (l *lane) run() {
	defer close(l.done)
	for batch := l.gather(); batch != nil; batch = l.gather() {
		l.deliver(batch)
	}
}

// gather waits for a request's worth of items, and returns nil when there will
// be none any more.
func (l *lane) gather() []item {
	for {
		draining := l.drain.hasBegun() // before the look: nothing comes after it
		l.mu.Lock()
		full, wait := l.queue.ripe(l.config.Batch, l.config.FlushInterval, time.Now())
		if (full || draining && wait >= 0) && l.drain.life.Err() == nil {
			batch := l.queue.take(l.config.Batch)
			l.mu.Unlock()
			return batch
		}
		l.mu.Unlock()
		if draining {
			return nil
		}
		l.idle(wait)
	}
}

// idle waits for the next item, or for what is there to be gathered.
func (l *lane) idle(wait time.Duration) {
	var ripe <-chan time.Time
	if wait >= 0 {
		ripe = time.After(wait)
	}
	select {
	case <-l.wake:
	case <-ripe:
	case <-l.drain.begun:
	}
}

// Shutdown lets the queue empty, for as long as the drain may take, and then
// accounts for what is left.
func (l *lane) Shutdown(context.Context) error {
	l.drain.begin(l.config.DrainTimeout)
	<-l.done
	if l.sender != nil {
		l.sender.close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.queue.count
	for _, i := range l.queue.taken {
		left += i.count
	}
	switch {
	case l.journal != nil:
		l.account.Store(left)
		_ = l.journal.Close() // every record was written when it was made
	case left > 0:
		l.account.Drop(ledger.Shutdown, left)
	}
	return nil
}
